"""Where regions lie in MNI space: soft tubes around polylines, so that no atlas is needed."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from neurolatent.phantom.lattice import Points

Memberships = Float[Tensor, "prior n"]
Membership = Float[Tensor, " n"]
Tubes = tuple[tuple[tuple[tuple[float, float, float], ...], float], ...]

# Right-hand polylines in MNI millimetres with a radius for each, read off the template's own slices.
LATERAL_VENTRICLE_TUBES = (
    (((6.0, 33.0, 0.0), (10.0, 20.0, 10.0), (12.0, 0.0, 20.0), (16.0, -22.0, 22.0), (24.0, -40.0, 12.0)), 9.0),
    (((24.0, -40.0, 12.0), (26.0, -58.0, 6.0)), 7.0),
)
INFERIOR_HORN_TUBES = ((((27.0, -42.0, 6.0), (36.0, -32.0, -7.0), (37.0, -20.0, -15.0), (33.0, -9.0, -21.0)), 4.5),)
THIRD_VENTRICLE_TUBES = ((((0.0, -2.0, -6.0), (0.0, -12.0, 2.0), (0.0, -24.0, 4.0)), 4.0),)
HIPPOCAMPUS_TUBES = (
    (((22.0, -10.0, -21.0), (27.0, -17.0, -19.0), (30.0, -26.0, -13.0), (27.0, -35.0, -5.0), (20.0, -38.0, 1.0)), 5.5),
)
ENTORHINAL_TUBES = ((((21.0, 2.0, -32.0), (24.0, -8.0, -32.0), (24.0, -18.0, -27.0)), 6.8),)
TEMPORAL_TUBES = (
    (((40.0, 12.0, -32.0), (52.0, -5.0, -22.0), (57.0, -28.0, -10.0), (55.0, -50.0, 0.0)), 17.0),
    (((35.0, 0.0, -40.0), (42.0, -20.0, -28.0), (40.0, -42.0, -18.0)), 13.0),
)
DEEP_TUBES = (
    (((12.0, -20.0, 7.0), (12.0, -5.0, 2.0)), 15.0),
    (((22.0, 14.0, 0.0), (27.0, 0.0, 2.0), (28.0, -14.0, 2.0)), 9.0),
    (((12.0, 18.0, 6.0), (15.0, 0.0, 18.0)), 6.0),
)
SOFT_EDGE_MM = 1.0
CENTRAL_SULCUS_Y_MM, CENTRAL_SULCUS_SLOPE = -28.0, 0.22
"""Where it meets z = 30, and how far it runs back for each millimetre up."""
PARIETAL_FLOOR_MM, PARIETAL_FLOOR_SLOPE = 22.0, -0.35
"""Height at y = −60 of the plane that parts parietal from occipital cortex; it rises towards the back."""
LOBE_EDGE_MM, MIDLINE_EDGE_MM = 2.0, 0.75
PRIORS = (
    "lateral_ventricle",
    "third_ventricle",
    "inferior_horn",
    "hippocampus",
    "entorhinal",
    "temporal",
    "deep",
    "hindbrain",
    "frontal",
    "parietal",
    "left",
)


def region_priors(points: Points) -> Memberships:
    """Return for each of PRIORS how far each point of MNI space belongs to it; ventricles share no point."""
    lateral, third, inferior, hippocampus, entorhinal, temporal, deep = (
        in_tubes(points, tubes)
        for tubes in (
            LATERAL_VENTRICLE_TUBES,
            THIRD_VENTRICLE_TUBES,
            INFERIOR_HORN_TUBES,
            HIPPOCAMPUS_TUBES,
            ENTORHINAL_TUBES,
            TEMPORAL_TUBES,
            DEEP_TUBES,
        )
    )
    # Where tubes meet, the third ventricle and then the lateral ones come first.
    ventricles = lateral * (1 - third), third, inferior * (1 - lateral) * (1 - third)
    frontal, parietal = in_lobes(points)
    left = torch.sigmoid(-points[0] / MIDLINE_EDGE_MM)
    hindbrain = in_hindbrain(points)
    return torch.stack([*ventricles, hippocampus, entorhinal, temporal, deep, hindbrain, frontal, parietal, left])


def in_lobes(points: Points) -> tuple[Membership, Membership]:
    """Return how far in front of the central sulcus each point lies, and how far in parietal cortex."""
    _, y, z = points
    before = y - (CENTRAL_SULCUS_Y_MM - CENTRAL_SULCUS_SLOPE * (z - 30.0))
    above = z - (PARIETAL_FLOOR_MM + PARIETAL_FLOOR_SLOPE * (y + 60.0))
    frontal = torch.sigmoid(before / LOBE_EDGE_MM)
    return frontal, (1 - frontal) * torch.sigmoid(above / LOBE_EDGE_MM)


def in_tubes(points: Points, tubes: Tubes) -> Membership:
    """Return how far inside any of the tubes, on either side of the brain, each point lies: 1 inside, 0 outside."""
    mirrored = torch.stack([points[0].abs(), points[1], points[2]])
    inside = torch.zeros_like(points[0])
    for line, radius in tubes:
        for start, end in pairwise(line):
            distance = _distance_to_segment(mirrored, start, end)
            inside = torch.maximum(inside, torch.sigmoid((radius - distance) / (0.5 * SOFT_EDGE_MM)))
    return inside


def in_hindbrain(points: Points) -> Membership:
    """Return 1 in the cerebellum and brainstem, 0 above the tentorium, softly between."""
    x, y, z = points
    # The tentorium rises towards the midline and falls towards the back; brainstem below z = −10, |x| < 18.
    roof = -20.0 + 0.25 * (y + 60.0).clamp(-25.0, 30.0) - 0.008 * x**2 + 6.0
    cerebellum = torch.sigmoid((roof - z) / 2.0) * torch.sigmoid((-34.0 - y) / 2.0)
    stem = torch.sigmoid((-12.0 - z) / 2.0) * torch.sigmoid((17.0 - x.abs()) / 2.0) * torch.sigmoid((-14.0 - y) / 2.0)
    return torch.maximum(cerebellum, stem)


def _distance_to_segment(
    points: Points, start: tuple[float, float, float], end: tuple[float, float, float]
) -> Membership:
    first, last = points.new_tensor(start)[:, None], points.new_tensor(end)[:, None]
    along = last - first
    share = (((points - first) * along).sum(0) / (along**2).sum()).clamp(0.0, 1.0)
    return ((points - first - share * along) ** 2).sum(0).sqrt()
