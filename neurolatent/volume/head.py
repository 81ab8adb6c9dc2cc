"""A head made ready for registration: on a 2 mm grid, its bias field removed, its place roughly known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk  # noqa: N813

from neurolatent.errors import ScanError
from neurolatent.shapes import Affine, MaskArray, VoxelArray
from neurolatent.volume.header import voxel_sizes_mm
from neurolatent.volume.load import Scan
from neurolatent.volume.resample import antialias_sigmas, resample, smooth, to_array, to_image

WORKING_MM = 2.0
BIAS_SHRINK = 4
HEAD_BIAS, BRAIN_BIAS = ((20, 20), 1e-3), ((30, 30, 30), 1e-4)
"""Iterations a level and convergence. In the brain a third level raised the contrast of white to grey matter by half, a
fourth took it away again (four heads)."""
BRIGHT_PERCENTILE, BRIGHT_FACTOR = 99.0, 1.2
# Of the upper head; the brain's middle lies below its top and behind its centroid, by what six heads showed.
HEAD_HEIGHT_MM, BELOW_TOP_MM, BEHIND_MM = 110.0, 71.0, 6.0
MIN_HEAD_ML = 500.0


@dataclass(frozen=True, eq=False)
class Head:
    """A scan on its 2 mm working grid."""

    voxels: VoxelArray
    """Bias-corrected, fat clipped."""
    world_from_voxel: Affine
    log_bias: VoxelArray
    centre_mm: np.ndarray
    """Where the middle of the brain should be, from the head's outline alone."""


def prepare_head(scan: Scan, name: str) -> Head:
    """Resample, find the head and remove its bias field."""
    voxels, world_from_voxel = on_working_grid(scan)
    outline = head_outline(voxels, name)
    log_bias = _log_bias(voxels, outline, *HEAD_BIAS)
    corrected = voxels / np.exp(log_bias)
    bright = BRIGHT_FACTOR * np.percentile(corrected[outline], BRIGHT_PERCENTILE)
    clipped = np.clip(corrected, 0, bright).astype(np.float32)
    return Head(clipped, world_from_voxel, log_bias, _centre_mm(outline, world_from_voxel))


def even_out(head: Head, brain: MaskArray) -> Head:
    """Remove what is left of the bias field inside the brain, where scalp and fat no longer disturb the estimate."""
    left = _log_bias(head.voxels, brain, *BRAIN_BIAS)
    left = np.clip(left, left[brain].min(), left[brain].max())
    return replace(head, voxels=head.voxels / np.exp(left), log_bias=head.log_bias + left)


def correct_bias(scan: Scan, head: Head) -> VoxelArray:
    """Return the scan's own voxels with the head's bias field removed."""
    head_from_scan = np.linalg.inv(head.world_from_voxel) @ scan.world_from_voxel
    log_bias = resample(head.log_bias, head_from_scan, _shape(scan.voxels))
    return scan.voxels / np.exp(log_bias)


def on_working_grid(scan: Scan) -> tuple[VoxelArray, Affine]:
    """Return a scan at 2 mm, nothing in it below 0, and where its voxels lie."""
    sizes_mm = voxel_sizes_mm(scan.world_from_voxel)
    positive = np.maximum(scan.voxels - min(float(scan.voxels.min()), 0.0), 0.0)
    if np.allclose(sizes_mm, WORKING_MM, rtol=1e-3):
        return positive, scan.world_from_voxel
    scale = np.diag([*(WORKING_MM / sizes_mm), 1.0])
    i, j, k = (int(np.ceil(n * mm / WORKING_MM)) for n, mm in zip(scan.voxels.shape, sizes_mm, strict=True))
    smoothed = smooth(positive, antialias_sigmas(sizes_mm.tolist(), WORKING_MM))
    return resample(smoothed, scale, (i, j, k)), scan.world_from_voxel @ scale


def head_outline(voxels: VoxelArray, name: str) -> MaskArray:
    """Return the largest piece above Otsu's threshold on the working grid; refuse one that is too small for a head."""
    pieces = sitk.ConnectedComponent(sitk.OtsuThreshold(to_image(voxels), 0, 1))
    outline = to_array(sitk.RelabelComponent(pieces)) == 1
    volume_ml = outline.sum() * WORKING_MM**3 / 1000
    if volume_ml < MIN_HEAD_ML:
        msg = f"{name}: expected a head of at least {MIN_HEAD_ML:g} mL, found {volume_ml:.0f} mL. Check the scan."
        raise ScanError(msg)
    return outline


def _log_bias(voxels: VoxelArray, within: MaskArray, iterations: Sequence[int], convergence: float) -> VoxelArray:
    """Return the logarithm of the field that N4 finds (Tustison et al. 2010)."""
    image, mask = to_image(voxels, [WORKING_MM] * 3), to_image(within.astype(np.uint8), [WORKING_MM] * 3)
    shrink = [BIAS_SHRINK] * 3
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(iterations)
    corrector.SetConvergenceThreshold(convergence)
    corrector.Execute(sitk.Shrink(image, shrink), sitk.Shrink(mask, shrink))
    return to_array(corrector.GetLogBiasFieldAsImage(image)).astype(np.float32)


def _centre_mm(outline: MaskArray, world_from_voxel: Affine) -> np.ndarray:
    world_mm = np.argwhere(outline) @ world_from_voxel[:3, :3].T + world_from_voxel[:3, 3]
    top_mm = world_mm[:, 2].max()
    upper = world_mm[world_mm[:, 2] > top_mm - HEAD_HEIGHT_MM]
    x_mm, y_mm, _ = upper.mean(axis=0)
    return np.array([x_mm, y_mm - BEHIND_MM, top_mm - BELOW_TOP_MM])


def _shape(array: np.ndarray) -> tuple[int, int, int]:
    i, j, k = array.shape
    return i, j, k
