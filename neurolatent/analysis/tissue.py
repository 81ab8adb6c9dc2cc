"""Tissue volumes measured from a standard-space image by a rule simple enough to state in a sentence."""

from collections.abc import Sequence
from functools import cache as remembered

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from neurolatent.errors import ScanError
from neurolatent.shapes import FeatureArray, MaskArray, VoxelArray
from neurolatent.volume.cache import VolumeCache
from neurolatent.volume.space import Grid

HISTOGRAM_BINS = 128
MIXTURE_ROUNDS, SETTLED = 2000, 1e-6
"""At most so many rounds, and until no class moves by more: after 60 some are still on their way."""
NARROWEST_CLASS = 0.01

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

Intensities = Float[ndarray, " voxel"]

CSF_REGIONS_MM: dict[str, tuple[Box, ...]] = {
    "lateral ventricles": (((-32, 32), (-50, 36), (-4, 32)),),
    "third and inferior ventricles": (((-6, 6), (-32, 6), (-16, 4)), ((-42, -22), (-42, -6), (-22, -6))),
    "left medial temporal": (((-40, -12), (-42, 0), (-34, -4)),),
    "right medial temporal": (((12, 40), (-42, 0), (-34, -4)),),
    "frontal and parietal sulci": (((-60, 60), (-90, 60), (36, 82)),),
    "whole brain": (((-80, 80), (-115, 80), (-75, 85)),),
}
"""Boxes in template millimetres (x, y, z) whose cerebrospinal fluid is measured."""
TISSUE_REGIONS_MM: dict[str, tuple[Box, ...]] = {
    "left hippocampus": (((-36, -14), (-40, -6), (-24, -6)),),
    "right hippocampus": (((14, 36), (-40, -6), (-24, -6)),),
    "entorhinal cortex": (((-34, -14), (-22, 4), (-42, -24)), ((14, 34), (-22, 4), (-42, -24))),
    "lateral temporal": (((-72, -42), (-60, 16), (-42, 6)), ((42, 72), (-60, 16), (-42, 6))),
}
"""Boxes in template millimetres whose grey matter is measured."""
VOLUME_NAMES = (
    *(f"CSF, {name}" for name in CSF_REGIONS_MM),
    *(f"grey matter, {name}" for name in TISSUE_REGIONS_MM),
    "grey matter, whole brain",
    "white matter, whole brain",
)


def measure_volumes(cache: VolumeCache, rows: Sequence[int]) -> FeatureArray:
    """Measure tissue in boxes of template space, as shares of the intracranial mask; columns as in `VOLUME_NAMES`.

    A three-class Gaussian mixture of the scan's own histogram gives the typical fluid, grey and white intensity; a
    voxel between two of them counts in part for both. The affine to the template has taken most of head size away.
    """
    return np.array([_volumes_of_row(cache, row) for row in rows])


def volumes_of_scan(volume: VoxelArray, mask: MaskArray, grid: Grid) -> Float[ndarray, " region"]:
    """Measure one scan of the grid; see `measure_volumes`."""
    fluid, grey, white = tissue_shares(volume[mask].astype(np.float64))
    in_csf = [fluid[inside_boxes(grid, boxes)[mask]].sum() for boxes in CSF_REGIONS_MM.values()]
    in_tissue = [grey[inside_boxes(grid, boxes)[mask]].sum() for boxes in TISSUE_REGIONS_MM.values()]
    return np.array([*in_csf, *in_tissue, grey.sum(), white.sum()]) / mask.sum()


def tissue_shares(intensities: Intensities) -> tuple[Intensities, ...]:
    """Split each voxel into fluid, grey and white, linearly between the classes' typical intensities."""
    fluid_mean, grey_mean, white_mean = class_means(intensities)
    white = np.clip((intensities - grey_mean) / (white_mean - grey_mean), 0, 1)
    fluid = np.clip((grey_mean - intensities) / (grey_mean - fluid_mean), 0, 1)
    return fluid, 1 - fluid - white, white


def class_means(intensities: Intensities) -> Float[ndarray, "3"]:
    """Find the three typical intensities by expectation–maximisation on the histogram, darkest first."""
    counts, edges = np.histogram(intensities, HISTOGRAM_BINS)
    centres, total = (edges[:-1] + edges[1:]) / 2, counts.sum()
    means = np.quantile(intensities, [0.08, 0.4, 0.8]).astype(np.float64)
    spreads, shares = np.full(3, np.std(intensities) / 3 + NARROWEST_CLASS), np.full(3, 1 / 3)
    for _ in range(MIXTURE_ROUNDS):
        density = shares * np.exp(-(((centres[:, None] - means) / spreads) ** 2) / 2) / spreads
        belonging = density / np.maximum(density.sum(1, keepdims=True), np.finfo(float).tiny) * counts[:, None]
        weight = np.maximum(belonging.sum(0), np.finfo(float).tiny)
        before, means = means, (belonging * centres[:, None]).sum(0) / weight
        variances = (belonging * (centres[:, None] - means) ** 2).sum(0) / weight
        spreads, shares = np.maximum(np.sqrt(variances), NARROWEST_CLASS), weight / total
        if np.abs(means - before).max() < SETTLED:
            break
    apart = NARROWEST_CLASS * np.arange(3)
    return np.maximum.accumulate(np.sort(means) - apart) + apart


def _volumes_of_row(cache: VolumeCache, row: int) -> Float[ndarray, " region"]:
    mask = np.asarray(cache.masks[row])
    if not mask.any():
        msg = f"{'/'.join(cache.keys[row])}: expected a brain mask with voxels, got an empty one. Preprocess again."
        raise ScanError(msg)
    return volumes_of_scan(np.asarray(cache.volumes[row]), mask, cache.grid)


@remembered
def inside_boxes(grid: Grid, boxes: tuple[Box, ...]) -> MaskArray:
    """Mark the voxels whose centre lies in one of the boxes."""
    affine = grid.world_from_voxel
    axes = [affine[axis, 3] + affine[axis, axis] * np.arange(extent) for axis, extent in enumerate(grid.shape)]
    inside = np.zeros(grid.shape, dtype=bool)
    for box in boxes:
        i, j, k = ((low <= axis) & (axis <= high) for axis, (low, high) in zip(axes, box, strict=True))
        inside |= i[:, None, None] & j[None, :, None] & k[None, None, :]
    return inside
