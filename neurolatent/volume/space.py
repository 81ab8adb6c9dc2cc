"""The standard-space grids: one field of view, any spacing."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from neurolatent.errors import SettingsError
from neurolatent.shapes import Affine
from neurolatent.workspace import View, resolution_label

TEMPLATE_SPACE = "MNI152NLin2009aSym"
VOLUME_ENDING, MASK_ENDING = "_desc-preproc_T1w", "_desc-brain_mask"
FIELD_OF_VIEW_MM = (192.0, 240.0, 192.0)
CENTRE_MM = (0.0, -17.0, 5.0)
CENTRES_MM: Mapping[View, tuple[float, float, float]] = {"standard": CENTRE_MM, "paper": (0.0, -18.0, 22.0)}
MIN_SPACING_MM, MAX_SPACING_MM = 0.5, 16.0
REDUCTION = 4


@dataclass(frozen=True)
class Grid:
    """A RAS+ grid over the template's field of view, 192×240×192 mm centred at MNI (0, −17, 5) or as in the paper.

    Extents are rounded up to a multiple of 4 voxels, the reduction of the autoencoder.
    """

    spacing_mm: float
    view: View = "standard"

    def __post_init__(self) -> None:
        if not MIN_SPACING_MM <= self.spacing_mm <= MAX_SPACING_MM:
            msg = f"Expected a spacing of {MIN_SPACING_MM:g} to {MAX_SPACING_MM:g} mm, got {self.spacing_mm}. Try 4."
            raise SettingsError(msg)

    @property
    def label(self) -> str:
        """The BIDS `res` label without its key, such as `1p5`."""
        return resolution_label(self.spacing_mm, self.view)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y and z."""
        i, j, k = (ceil(extent / self.spacing_mm / REDUCTION) * REDUCTION for extent in FIELD_OF_VIEW_MM)
        return i, j, k

    @property
    def world_from_voxel(self) -> Affine:
        """The affine from voxel centres to MNI millimetres."""
        affine = np.diag([self.spacing_mm] * 3 + [1.0])
        half_extent = (np.array(self.shape) - 1) / 2 * self.spacing_mm
        affine[:3, 3] = np.array(CENTRES_MM[self.view]) - half_extent
        return affine

    def describe(self) -> dict[str, object]:
        """Return what provenance records about the grid."""
        return {
            "space": TEMPLATE_SPACE,
            "spacing_mm": self.spacing_mm,
            "shape": list(self.shape),
            "centre_mm": CENTRES_MM[self.view],
        }


def described_grid(description: Mapping[str, Any]) -> Grid:
    """Return the grid that `describe` described."""
    centre_mm = tuple(description["centre_mm"])
    views: dict[tuple[float, ...], View] = {known_mm: view for view, known_mm in CENTRES_MM.items()}
    return Grid(description["spacing_mm"], views[centre_mm])


def is_given(image: str) -> bool:
    """Tell by its name whether an image is in standard space already."""
    name = image.rsplit("/", maxsplit=1)[-1]
    return f"_space-{TEMPLATE_SPACE}_" in name and VOLUME_ENDING in name


def given_mask_path(path: Path) -> Path:
    """Return where the mask of a standard-space scan lies."""
    return path.with_name(path.name.replace(VOLUME_ENDING, MASK_ENDING))
