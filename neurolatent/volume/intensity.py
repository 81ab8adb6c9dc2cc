"""Intensities to [0, 1]: the one rule for real and simulated scans, so that both mean the same."""

import numpy as np
from jaxtyping import Bool

from neurolatent.errors import ScanError
from neurolatent.shapes import VoxelArray

LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5


def normalise_intensity(volume: VoxelArray, mask: Bool[np.ndarray, "_ _ _"]) -> VoxelArray:
    """Map the robust range inside the mask to [0, 1], clip, and set everything outside to 0.

    The intracranial mask holds dark fluid and bright white matter, so these percentiles anchor both ends.
    """
    if volume.shape != mask.shape:
        msg = (
            f"Expected a mask of the volume's shape {volume.shape}, got {mask.shape}. Resample one to the other first."
        )
        raise ScanError(msg)
    inside = volume[mask]
    if inside.size == 0:
        msg = f"Expected a mask with voxels inside, got an empty one of shape {mask.shape}. Check the brain extraction."
        raise ScanError(msg)
    unusable = int(inside.size - np.isfinite(inside).sum())
    if unusable:
        msg = f"Expected finite intensities inside the mask, got {unusable} NaN or infinite voxels. Convert it again."
        raise ScanError(msg)
    low, high = (float(value) for value in np.percentile(inside, (LOW_PERCENTILE, HIGH_PERCENTILE)))
    if not high > low:
        msg = (
            f"Expected varying intensities inside the mask, got {low:g} nearly everywhere. Check the scan and its mask."
        )
        raise ScanError(msg)
    scaled = np.clip((volume - low) / (high - low), 0.0, 1.0)
    return np.where(mask, scaled, 0.0).astype(np.float32)
