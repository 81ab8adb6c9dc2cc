"""A small picture of each scan in standard space, without a face."""

from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from neurolatent.provenance import whole_file
from neurolatent.shapes import MaskArray, VoxelArray
from neurolatent.volume.placed import Placed
from neurolatent.volume.quality import template_distances_mm
from neurolatent.volume.resample import MaskOnTarget, resample_smoothed
from neurolatent.volume.space import CENTRE_MM, Grid

PICTURE_MM = 2.5
SHOWN_WITHIN_MM = 6.0
"""Around the template's brain: enough of skull to judge the mask by, nothing of eyes, nose and mouth."""
CONTOUR = (1.0, 0.35, 0.2)
"""Of the scan's own mask."""
TEMPLATE_CONTOUR, SHARED_CONTOUR = (0.34, 0.71, 0.91), (1.0, 0.85, 0.0)
"""Of the template, and of both where they run together: colour-blind people tell the three apart, and from grey."""
LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5
PNG_LEVEL = 3
"""Of compression: files no larger than at the usual 6, in half the time."""
Plane = Float[np.ndarray, "row column"]
PlaneMask = Bool[np.ndarray, "row column"]


def write_picture(path: Path, placed: Placed, mask: MaskArray, mask_grid: Grid) -> None:
    """Write the planes of a raw scan."""
    grid = Grid(PICTURE_MM)
    head = resample_smoothed(placed.head.voxels, placed.head_from_grid(grid), grid.shape)
    write_planes(path, head, grid, mask, mask_grid)


def write_planes(path: Path, volume: VoxelArray, grid: Grid, mask: MaskOnTarget, mask_grid: Grid) -> None:
    """Write a sagittal, a coronal and an axial slice of a volume in standard space, at most 96 pixels a side each.

    The mask and the template's intracranial space are outlined. A mask that leaves what is shown is outlined along
    the edge: the outline of one that took in the whole head would be a profile.
    """
    greys, insides = _planes(volume, grid), [plane > 0.5 for plane in _planes(mask.astype(np.float32), mask_grid)]
    pixels, inside = (np.concatenate([plane.ravel() for plane in planes]) for planes in (greys, insides))
    low, high = np.percentile(pixels[inside] if inside.any() else pixels, (LOW_PERCENTILE, HIGH_PERCENTILE))
    drawn = [
        _drawn((grey - low) / max(high - low, 1e-6), inside, distance_mm)
        for grey, inside, distance_mm in zip(greys, insides, _template_planes_mm(Grid(PICTURE_MM)), strict=True)
    ]
    height = max(plane.shape[0] for plane in drawn)
    padded = [np.pad(plane, ((0, height - plane.shape[0]), (0, 0), (0, 0))) for plane in drawn]
    with whole_file(path) as temporary:
        colours = np.rint(255 * np.concatenate(padded, axis=1)).astype(np.uint8)
        Image.fromarray(colours).save(temporary, format="png", compress_level=PNG_LEVEL)


def _planes(volume: VoxelArray, grid: Grid) -> list[Plane]:
    """Return the three slices of a volume, top up."""
    shown = Grid(PICTURE_MM)
    planes: list[Plane] = []
    for axis in range(3):
        across, up = (_weights(grid, shown, other) for other in range(3) if other != axis)
        middle = _weights(grid, shown, axis)[_middle(shown, axis)]
        planes.append((up @ np.tensordot(middle, volume, axes=(0, axis)).T @ across.T)[::-1])
    return planes


@cache
def _template_planes_mm(grid: Grid) -> list[Plane]:
    """Return the distance to the template's intracranial surface on the three slices, negative inside."""
    return _planes(template_distances_mm(grid), grid)


@cache
def _weights(grid: Grid, shown: Grid, axis: int) -> Float[np.ndarray, "pixel voxel"]:
    """Return what each voxel adds to each pixel along an axis: a tent as wide as the coarser of the two, 0 beyond."""
    pixels_mm, voxels_mm = (
        one.world_from_voxel[axis, 3] + one.spacing_mm * np.arange(one.shape[axis]) for one in (shown, grid)
    )
    wide_mm = max(grid.spacing_mm, shown.spacing_mm)
    tents = np.clip(1 - np.abs(pixels_mm[:, None] - voxels_mm) / wide_mm, 0, None)
    return (tents / np.maximum(tents.sum(axis=1, keepdims=True), 1)).astype(np.float32)


def _middle(grid: Grid, axis: int) -> int:
    """Return the slice through the middle of the field of view, a little off it from left to right."""
    off_mm = 10.0 if axis == 0 else 0.0
    return round((CENTRE_MM[axis] + off_mm - grid.world_from_voxel[axis, 3]) / grid.spacing_mm)


def _drawn(grey: Plane, inside: PlaneMask, distance_mm: Plane) -> Float[np.ndarray, "row column 3"]:
    """Return one slice as colours, both outlines drawn."""
    shown = distance_mm < SHOWN_WITHIN_MM
    own, reference = _outline(inside & shown), _outline(distance_mm < 0)
    colours = np.repeat(np.where(shown, np.clip(grey, 0, 1), 0)[..., None], 3, axis=2)
    colours[own] = CONTOUR
    colours[reference] = TEMPLATE_CONTOUR
    colours[own & reference] = SHARED_CONTOUR
    return colours


def _outline(inside: PlaneMask) -> PlaneMask:
    """Return the outermost pixels of a mask on a plane."""
    core = inside.copy()
    for shift, along in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        core &= np.roll(inside, shift, axis=along)
    return inside & ~core
