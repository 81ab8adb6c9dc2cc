"""A small picture of each raw scan in standard space, without a face."""

from pathlib import Path

import numpy as np

from neurolatent.provenance import whole_file
from neurolatent.shapes import MaskArray, VoxelArray
from neurolatent.volume.placed import Placed
from neurolatent.volume.quality import template_distances_mm
from neurolatent.volume.resample import MaskOnTarget, resample, resample_smoothed
from neurolatent.volume.space import CENTRE_MM, Grid

PICTURE_MM = 2.5
SHOWN_WITHIN_MM = 6.0
"""Around the template's brain: enough of skull to judge the mask by, nothing of eyes, nose and mouth."""
CONTOUR = (1.0, 0.35, 0.2)
"""Of the scan's own mask."""
TEMPLATE_CONTOUR, SHARED_CONTOUR = (0.34, 0.71, 0.91), (1.0, 0.85, 0.0)
"""Of the template, and of both where they run together: colour-blind people tell the three apart, and from grey."""
LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5


def write_picture(path: Path, placed: Placed, mask: MaskArray, mask_grid: Grid) -> None:
    """Write a sagittal, a coronal and an axial slice, at most 96 pixels a side each.

    The mask and the template's intracranial space are outlined. A mask that leaves what is shown is outlined along
    the edge: the outline of one that took in the whole head would be a profile.
    """
    from matplotlib.image import imsave  # only here: every other part of preprocessing does without it

    grid = Grid(PICTURE_MM)
    volume = resample_smoothed(placed.head.voxels, placed.head_from_grid(grid), grid.shape)
    inside = _regrid(mask, mask_grid, grid)
    low, high = np.percentile(volume[inside], (LOW_PERCENTILE, HIGH_PERCENTILE))
    distance_mm = template_distances_mm(grid)
    shown, template = distance_mm < SHOWN_WITHIN_MM, distance_mm < 0
    grey = np.where(shown, np.clip((volume - low) / max(high - low, 1e-6), 0, 1), 0)
    planes = [_plane(grey, inside & shown, template, axis, _middle(grid, axis)) for axis in range(3)]
    height = max(plane.shape[0] for plane in planes)
    padded = [np.pad(plane, ((0, height - plane.shape[0]), (0, 0), (0, 0))) for plane in planes]
    with whole_file(path) as temporary:
        imsave(temporary, np.concatenate(padded, axis=1), format="png")


def _regrid(mask: MaskArray, mask_grid: Grid, grid: Grid) -> MaskOnTarget:
    mask_from_grid = np.linalg.inv(mask_grid.world_from_voxel) @ grid.world_from_voxel
    return resample(mask.astype(np.float32), mask_from_grid, grid.shape) > 0.5


def _middle(grid: Grid, axis: int) -> int:
    """Return the slice through the middle of the field of view, a little off it from left to right."""
    off_mm = 10.0 if axis == 0 else 0.0
    return round((CENTRE_MM[axis] + off_mm - grid.world_from_voxel[axis, 3]) / grid.spacing_mm)


def _plane(grey: VoxelArray, inside: MaskArray, template: MaskArray, axis: int, index: int) -> np.ndarray:
    """Return one slice as colours, top up, both outlines drawn."""
    slice_grey, slice_inside, slice_template = (
        np.take(array, index, axis=axis).T[::-1] for array in (grey, inside, template)
    )
    own, reference = _outline(slice_inside), _outline(slice_template)
    colours = np.repeat(slice_grey[..., None], 3, axis=2)
    colours[own] = CONTOUR
    colours[reference] = TEMPLATE_CONTOUR
    colours[own & reference] = SHARED_CONTOUR
    return colours


def _outline(inside: np.ndarray) -> np.ndarray:
    """Return the outermost pixels of a mask on a plane."""
    core = inside.copy()
    for shift, along in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        core &= np.roll(inside, shift, axis=along)
    return inside & ~core
