"""What a model must beat: principal components of voxels, the mean image, the voxelwise age slope."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from neurolatent.shapes import FeatureArray, MaskArray, Values, VolumeArray, VoxelArray
from neurolatent.volume.cache import VolumeCache

MOST_COMPONENTS = 50
NO_STRENGTH = 1e-6
"""Components weaker than this share of the strongest are rounding."""
Rows = Sequence[int]
VoxelMatrix = Float[ndarray, "scan voxel"]


@dataclass(frozen=True)
class Components:
    """Principal components, fitted on training scans, the strongest first."""

    mean: Float[ndarray, " value"]
    axes: Float[ndarray, "component value"]

    def project(self, values: Float[ndarray, "scan value"]) -> Float[ndarray, "scan component"]:
        """Give each scan's place along the components."""
        return (values - self.mean) @ self.axes.T


@dataclass(frozen=True)
class VoxelComponents:
    """Principal components of the voxels inside a mask."""

    mask: MaskArray
    components: Components

    def project(self, cache: VolumeCache, rows: Rows) -> FeatureArray:
        """Give the place of scans of the cache along the components."""
        return self.components.project(voxels_inside(cache, rows, self.mask))

    def project_volumes(self, volumes: VolumeArray) -> FeatureArray:
        """Give the place of volumes in memory."""
        return self.components.project(volumes[:, self.mask])


def fit_components(values: Float[ndarray, "scan value"]) -> Components:
    """Fit at most 50 principal components, from the products of scans: there are fewer scans than values."""
    mean = values.mean(0)
    centred = values - mean
    strengths, places = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    present = int((strengths > NO_STRENGTH * strengths[-1]).sum())  # no more than there are values, or scans less one
    count = max(1, min(MOST_COMPONENTS, present))
    strongest = places[:, ::-1][:, :count] / np.sqrt(np.maximum(strengths[::-1][:count], np.finfo(np.float32).tiny))
    return Components(mean, strongest.T.astype(centred.dtype) @ centred)


def common_mask(cache: VolumeCache, rows: Rows) -> MaskArray:
    """Voxels inside the mask of at least half of the scans."""
    return np.asarray(cache.masks[sorted(rows)]).mean(0) >= 0.5


def voxels_inside(cache: VolumeCache, rows: Rows, mask: MaskArray) -> VoxelMatrix:
    """Read scans as rows of voxels."""
    return np.stack([np.asarray(cache.volumes[row])[mask] for row in rows]).astype(np.float32)


def fit_voxel_components(cache: VolumeCache, rows: Rows) -> VoxelComponents:
    """Fit components of the voxels of these scans, and of no others."""
    mask = common_mask(cache, rows)
    return VoxelComponents(mask, fit_components(voxels_inside(cache, rows, mask)))


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
