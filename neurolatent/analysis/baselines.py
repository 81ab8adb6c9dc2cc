"""What a model must beat: principal components of voxels, the mean image, the voxelwise age slope."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from sklearn.decomposition import PCA

from neurolatent.shapes import FeatureArray, MaskArray, Values, VoxelArray
from neurolatent.volume.cache import VolumeCache

MOST_COMPONENTS = 50
COMPONENT_CHOICES = (10, 25, MOST_COMPONENTS)
Rows = Sequence[int]
VoxelMatrix = Float[ndarray, "scan voxel"]


@dataclass(frozen=True)
class VoxelComponents:
    """Principal components of the voxels inside a mask, fitted on training scans."""

    mask: MaskArray
    pca: PCA

    def project(self, volumes: VoxelMatrix) -> FeatureArray:
        """Give each scan's place along the components."""
        return self.pca.transform(volumes)


def common_mask(cache: VolumeCache, rows: Rows) -> MaskArray:
    """Voxels inside the mask of at least half of the scans."""
    return np.asarray(cache.masks[sorted(rows)]).mean(0) >= 0.5


def voxels_inside(cache: VolumeCache, rows: Rows, mask: MaskArray) -> VoxelMatrix:
    """Read scans as rows of voxels."""
    return np.stack([np.asarray(cache.volumes[row])[mask] for row in rows]).astype(np.float32)


def fit_components(cache: VolumeCache, rows: Rows, *, seed: int) -> VoxelComponents:
    """Fit at most 50 components on these scans, and on no others."""
    mask = common_mask(cache, rows)
    count = min(MOST_COMPONENTS, len(rows) - 1)
    pca = PCA(count, svd_solver="randomized", random_state=seed).fit(voxels_inside(cache, rows, mask))
    return VoxelComponents(mask, pca)


def mean_image(cache: VolumeCache, rows: Rows) -> VoxelArray:
    """Average scans voxel by voxel, one at a time."""
    total = np.zeros(cache.grid.shape)
    for row in rows:
        total += cache.volumes[row]
    return (total / len(rows)).astype(np.float32)


def voxel_slopes(cache: VolumeCache, rows: Rows, x: Values) -> VoxelArray:
    """Fit one line per voxel of intensity on x, and return its slope."""
    centred = x - x.mean()
    total = np.zeros(cache.grid.shape)
    for row, weight in zip(rows, centred / (centred @ centred), strict=True):
        total += weight * np.asarray(cache.volumes[row], dtype=np.float64)
    return total.astype(np.float32)
