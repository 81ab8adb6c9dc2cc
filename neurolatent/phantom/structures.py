"""What is drawn, regions with a change field each, and what is published, the structures that they make up."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

STRUCTURES = ("ventricle", "hippocampus", "entorhinal", "temporal", "grey", "brain")
"""What the literature gives rates for; `grey` is the cortex, `brain` is all grey and white matter."""
SIDED = ("lateral_ventricle", "inferior_horn", "hippocampus", "entorhinal", "temporal")
"""Parts that a person has on the left and on the right, never of quite the same size."""
VENTRICLE_PARTS = ("lateral_ventricle", "third_ventricle", "inferior_horn")
OTHER_LOBES = ("frontal", "parietal", "occipital")
"""The cortex that is not temporal: in front, above and behind."""


def sides(part: str) -> tuple[str, ...]:
    """Return the regions of a part: its left and its right, or itself."""
    return (f"{part}_left", f"{part}_right") if part in SIDED else (part,)


REGIONS = tuple(
    region
    for part in (*VENTRICLE_PARTS, "hippocampus", "entorhinal", "temporal", *OTHER_LOBES, "brain")
    for region in sides(part)
)
MEMBERS: Mapping[str, tuple[int, ...]] = {
    structure: tuple(REGIONS.index(region) for part in parts for region in sides(part))
    for structure, parts in {
        "ventricle": VENTRICLE_PARTS,
        "hippocampus": ("hippocampus",),
        "entorhinal": ("entorhinal",),
        "temporal": ("temporal",),
        "grey": ("temporal", *OTHER_LOBES),
        "brain": ("brain",),
    }.items()
}
"""Positions in REGIONS of the regions that make up each structure."""
VENTRICLE = np.array(MEMBERS["ventricle"])


def structure_log_volumes(log_volumes: Float[np.ndarray, "*people region"]) -> Float[np.ndarray, "*people structure"]:
    """Add regions up to structures; natural logarithms of volumes in, and out."""
    volumes = np.exp(log_volumes)
    return np.log(np.stack([volumes[..., list(MEMBERS[name])].sum(-1) for name in STRUCTURES], axis=-1))
