"""Move volumes between grids by an affine in voxel units: smoothed once, interpolated once."""

from collections.abc import Sequence
from math import log, sqrt

import numpy as np
import SimpleITK as sitk  # noqa: N813
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter

from neurolatent.shapes import Affine, VoxelArray

OnTarget = Float[np.ndarray, "target_i target_j target_k"]
"""A volume on another grid than the one it came from."""
MaskOnTarget = Bool[np.ndarray, "target_i target_j target_k"]
FWHM_PER_SIGMA = 2 * sqrt(2 * log(2))


def to_image(array: np.ndarray, spacing_mm: Sequence[float] = (1.0, 1.0, 1.0)) -> sitk.Image:
    """Wrap an (i, j, k) array as an image in its own frame: origin 0, axes along the array's."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing([float(mm) for mm in spacing_mm])
    return image


def to_array(image: sitk.Image) -> np.ndarray:
    """Return an image's values as an (i, j, k) array."""
    return np.ascontiguousarray(sitk.GetArrayFromImage(image).transpose(2, 1, 0))


def antialias_sigmas(source_mm: Sequence[float], target_mm: float) -> list[float]:
    """Return the Gaussian's SD along each axis, in source voxels, that brings a source down to the target's sampling.

    The full width at half maximum is what the target's voxel has more than the source's, in quadrature
    (Cardoso et al. 2015, Scale factor point spread function matching); 0 where the source is the coarser.
    """
    return [sqrt(max(target_mm**2 - mm**2, 0.0)) / FWHM_PER_SIGMA / mm for mm in source_mm]


def smooth(array: VoxelArray, sigmas: Sequence[float]) -> VoxelArray:
    """Smooth by a Gaussian whose SDs are in voxels; scipy's is several times faster than SimpleITK's."""
    if not any(sigmas):
        return array
    return np.asarray(gaussian_filter(array, sigmas, mode="nearest"), dtype=np.float32)


def resample(
    array: np.ndarray, source_from_target: Affine, shape: tuple[int, int, int], *, interpolator: int = sitk.sitkLinear
) -> np.ndarray:
    """Read an array at the voxels of another grid; `source_from_target` is in voxels, 0 outside the array."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix([float(value) for value in source_from_target[:3, :3].ravel()])
    transform.SetTranslation([float(value) for value in source_from_target[:3, 3]])
    frame = ([0.0] * 3, [1.0] * 3, [1.0, 0, 0, 0, 1, 0, 0, 0, 1])
    return to_array(sitk.Resample(to_image(array), shape, transform, interpolator, *frame, 0.0, sitk.sitkUnknown))


def resample_smoothed(
    array: VoxelArray, source_from_target: Affine, shape: tuple[int, int, int], *, interpolator: int = sitk.sitkBSpline
) -> OnTarget:
    """Smooth as much as the target's sampling asks for, then interpolate, by cubic B-splines where not told.

    Splines overshoot at edges, so that the result is held within the range of the smoothed source.
    """
    target_in_source_voxels = np.linalg.norm(source_from_target[:3, :3], axis=1)
    sigmas = [sqrt(max(size**2 - 1.0, 0.0)) / FWHM_PER_SIGMA for size in target_in_source_voxels]
    smoothed = smooth(array, sigmas)
    values = resample(smoothed, source_from_target, shape, interpolator=interpolator)
    return np.clip(values, smoothed.min(), smoothed.max()).astype(np.float32)
