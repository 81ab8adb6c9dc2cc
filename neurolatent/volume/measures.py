"""Quality measures of one scan as functions of arrays: bias, mask, saturation, ghosts, noise, likeness to the template.

Their kin are MRIQC's (Esteban et al. 2017, doi:10.1371/journal.pone.0184661); where ours differ, the docstring says so.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import (
    binary_dilation,
    binary_fill_holes,
    distance_transform_edt,
    find_objects,
    gaussian_filter,
    label,
)

from neurolatent.errors import ScanError
from neurolatent.shapes import MaskArray, VoxelArray

BIAS_PERCENTILES = 2.5, 97.5
SURFACE_SIGMA_MM, DETAIL_SIGMA_MM = 3.0, 8.0
"""Enough for voxels of 4 mm, and wider than what makes a mask ragged."""
GAUSSIAN_REACH = 4.0
"""In SDs: where smoothing ends."""
LEVELS_BELOW_TOP = 3
HEAD_SHARE = 0.2
"""Of the brain's median: scalp, fat and muscle are brighter, ghosts darker."""
AIR_MARGIN_MM, AIR_MARGIN_VOXELS = 10.0, 3
AIR_SPACING_MM = 2.0
MIN_AIR_VOXELS = 300
MIN_NOISY_AIR = 0.5
"""Share of the air: where less has noise in it, its SD would be that of a remnant."""
NOISE_PERCENTILE, GHOST_PERCENTILE = 99.0, 95.0


def bias_strength(log_bias: VoxelArray, brain: MaskArray) -> float:
    """Return how much brighter the removed field made one end of the brain than the other: 0.5 is half as bright again.

    The ratio of the field's 97.5th to its 2.5th percentile, less 1; no unit. MRIQC summarises the same field of N4
    (Tustison et al. 2010, doi:10.1109/TMI.2010.2046908) by its range and median.

    Args:
        log_bias: The field's natural logarithm.
        brain: Where to look.
    """
    low, high = np.percentile(_inside(log_bias, brain), BIAS_PERCENTILES)
    return float(np.exp(high - low) - 1)


def mask_smoothness(mask: MaskArray, spacing_mm: float) -> float:
    """Return the surface area of a mask without its fine detail over its own: near 1 for a smooth one, less if ragged.

    A ratio of areas, as a sphericity is, but each mask is its own measure, so that a long head is not a ragged one:
    up to three times as sensitive as sphericity to rough surfaces and leaks (40 masks of IXI). Fine detail is what
    smoothing by 8 mm takes away. An area is the integral of the gradient of the mask smoothed by 3 mm, by the coarea
    formula (Federer 1959, Curvature measures), so that voxels make no steps. No unit; 95 masks of IXI at 4 mm: 0.939
    to 0.949, SD 0.002.
    """
    _inside(mask, mask)
    own = _cropped(mask).astype(np.float32)
    # Smoothing carries no half beyond the box around a shape: the centre of a Gaussian there sees it on one side only.
    plain = (gaussian_filter(own, DETAIL_SIGMA_MM / spacing_mm, mode="constant") > 0.5).astype(np.float32)
    plain_area, own_area = (_area_voxels(shape, SURFACE_SIGMA_MM / spacing_mm) for shape in (plain, own))
    return plain_area / own_area


def clipped_share(scan_values: VoxelArray, brain: MaskArray) -> float:
    """Return the share of brain voxels that sit at the raw scan's highest value, beyond what a histogram's tail holds.

    What the fullest of the three levels below the top has is taken off, so that neither a single maximum nor data of
    few levels counts: a tail falls, saturation piles up. Our own; MRIQC's nearest, `wm2max`, asks after bright vessels
    and fat instead. No unit. Values must not have been resampled.
    """
    values = _inside(scan_values, brain)
    levels, counts = np.unique(values, return_counts=True)
    if levels[-1] < scan_values.max() or len(levels) == 1:
        return 0.0
    tail = counts[-1 - LEVELS_BELOW_TOP : -1].max()
    return max(float(counts[-1]) - float(tail), 0.0) / values.size


def ringing(voxels: VoxelArray, brain: MaskArray, spacing_mm: Sequence[float]) -> float | None:
    """Return how strong the brain's ghosts in the air are, as a share of its median intensity; rises with motion.

    Ghosts of a head that moves lie along the phase-encode axis. Along each axis, the air before and behind the brain
    is compared with the air on lines that meet no head, whose noise is all else that there is: the root of the
    difference of their mean squares, the largest of the three axes. The ghost-to-signal ratio of Giannelli et al.
    2010 (doi:10.1120/jacmp.v11i4.3237), and, for structural scans, the artefacts in the air of Mortamet et al. 2009
    (doi:10.1002/mrm.21992), with each axis its own reference. Air that was zeroed is passed over; `None` where no axis
    has enough left: masked scans, and fields of view that hug the head.

    Phantom heads at 2 mm (4 people, 8 trajectories) give 0.002 at rest and 0.033, 0.045, 0.061 and 0.081 at 1, 2, 4
    and 8 mm/min; 12 heads of IXI at 2 mm 0.007 to 0.021, all along x and about one of their 8-bit levels.

    Args:
        voxels: The raw scan, its bias not removed: a field estimated in the head means nothing in the air.
        brain: On the same voxels.
        spacing_mm: Of the voxels along each axis.
    """
    _inside(voxels, brain)
    # Every n-th voxel: its noise stays what it was, and the air does not need them all.
    strides = tuple(slice(None, None, max(1, int(AIR_SPACING_MM / mm + 1e-3))) for mm in spacing_mm)
    voxels, brain = voxels[strides], brain[strides]
    spacing_mm = [mm * (stride.step or 1) for mm, stride in zip(spacing_mm, strides, strict=True)]
    signal = float(np.median(_inside(voxels, brain)))
    if signal <= 0:
        return None
    head = _near_head(voxels, brain, signal, spacing_mm)
    air = _noisy(voxels) & ~head
    energies = [_ghost_energy(voxels, brain, head, air, axis) for axis in range(3)]
    found = [energy for energy in energies if energy is not None]
    return sqrt(max(0.0, *found)) / signal if found else None


def noise_outside(voxels: VoxelArray, head_outline: MaskArray) -> float | None:
    """Return the SD of the air around the head, in the scan's own unit; `None` where half of it or more is bare zero.

    Magnotta & Friedman 2006 (doi:10.1007/s10278-006-0264-x). In a magnitude image it is 0.655 of the noise's own SD
    (Dietrich et al. 2007, doi:10.1002/jmri.20969). A mask or a scanner zeroes air, and so do levels far coarser than
    the noise, as in 9 of 12 copies of IXI in 8 bits. The brightest hundredth is left out, for headrests and lost necks;
    of noise alone that takes 5 % off.
    """
    solid = np.asarray(binary_fill_holes(head_outline), dtype=bool)
    head = np.asarray(binary_dilation(solid, iterations=AIR_MARGIN_VOXELS), dtype=bool)
    air = _noisy(voxels) & ~head
    if air.sum() < max(MIN_NOISY_AIR * (~head).sum(), MIN_AIR_VOXELS):
        return None
    values = voxels[air]
    return float(values[values <= np.percentile(values, NOISE_PERCENTILE)].std(dtype=np.float64))


def template_similarity(volume: VoxelArray, mask: MaskArray, template_volume: VoxelArray) -> float:
    """Return the normalised cross-correlation with the template's T1 inside the mask, from −1 to 1.

    Lewis 1995, Fast normalized cross-correlation. Both on one grid; 0 where either is the same everywhere.
    """
    one, other = (_inside(array, mask).astype(np.float64) for array in (volume, template_volume))
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _inside(array: Float[np.ndarray, "i j k"] | MaskArray, mask: MaskArray) -> np.ndarray:
    """Return the values inside a mask; refuse one that is empty or of another shape."""
    if array.shape != mask.shape or not mask.any():
        got = f"{int(mask.sum())} voxels inside a mask of shape {mask.shape}"
        msg = f"Expected a mask with voxels inside, of shape {array.shape}, got {got}. Check the brain extraction."
        raise ScanError(msg)
    return array[mask]


def _cropped(mask: MaskArray) -> Bool[np.ndarray, "_ _ _"]:
    return mask[find_objects(mask.astype(np.int8))[0]]


def _area_voxels(shape: Float[np.ndarray, "_ _ _"], sigma: float) -> float:
    """Return a shape's surface area in voxel faces."""
    reach = int(GAUSSIAN_REACH * sigma + 0.5) + 2  # scipy's own radius, and the slopes at its end
    smoothed = np.asarray(gaussian_filter(np.pad(shape, reach), sigma, truncate=GAUSSIAN_REACH))
    return float(np.sqrt(sum(np.square(slope) for slope in np.gradient(smoothed))).sum())


def _near_head(voxels: VoxelArray, brain: MaskArray, signal: float, spacing_mm: Sequence[float]) -> MaskArray:
    """Return the head and a margin around it: where no air can be told from tissue."""
    pieces = np.asarray(label((voxels > HEAD_SHARE * signal) | brain)[0])  # pyright: ignore[reportIndexIssue]
    head = np.asarray(binary_fill_holes(np.isin(pieces, np.unique(pieces[brain]))), dtype=bool)
    return np.asarray(distance_transform_edt(~head, sampling=list(spacing_mm))) < AIR_MARGIN_MM


def _noisy(voxels: VoxelArray) -> MaskArray:
    """Return where a voxel or a neighbour is above the lowest value: coarse levels scatter zeros, a mask keeps them."""
    return np.asarray(binary_dilation(voxels > voxels.min(), np.ones((3, 3, 3), bool)))


def _ghost_energy(voxels: VoxelArray, brain: MaskArray, head: MaskArray, air: MaskArray, axis: int) -> float | None:
    """Return the energy of ghosts along one axis: that of the air in line with the brain, less the noise's.

    In a magnitude image a ghost adds its square to the mean square of the noise (Gudbjartsson & Patz 1995,
    doi:10.1002/mrm.1910340618). The brightest twentieth is left out on both sides, for headphones and markers.
    """
    in_line = air & brain.any(axis=axis, keepdims=True)
    apart = air & ~head.any(axis=axis, keepdims=True)
    if min(in_line.sum(), apart.sum()) < MIN_AIR_VOXELS:
        return None
    ghosts, noise = (_mean_square(voxels[where]) for where in (in_line, apart))
    return ghosts - noise


def _mean_square(values: Float[np.ndarray, " air"]) -> float:
    usual = values[values <= np.percentile(values, GHOST_PERCENTILE)]
    return float(np.square(usual, dtype=np.float64).mean())
