"""Trilinear reading of volumes at points, differentiable in the points."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from neurolatent.shapes import Affine

Grid3D = Float[Tensor, "1 channel i j k"]
Points = Float[Tensor, "*points 3"]


def as_grid(array: np.ndarray) -> Float[Tensor, "1 1 i j k"]:
    """Return an array as a float32 tensor with batch and channel."""
    return torch.from_numpy(np.array(array, dtype=np.float32))[None, None]


def read_at(grid: Grid3D, voxels: Points) -> Float[Tensor, "channel *points"]:
    """Read every channel at points given in voxels; 0 outside the grid."""
    last = torch.tensor(grid.shape[2:], dtype=torch.float32) - 1
    unit = (voxels * (2 / last) - 1).flip(-1)
    values = functional.grid_sample(grid, unit.reshape(1, 1, 1, -1, 3), align_corners=True)
    return values.reshape(grid.shape[1], *voxels.shape[:-1])


def as_map(affine: Affine) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3"]]:
    """Return an affine's matrix and offset, for `points @ matrix.T + offset`."""
    tensor = torch.from_numpy(np.asarray(affine)).float()
    return tensor[:3, :3], tensor[:3, 3]


def voxel_centres_mm(shape: Sequence[int], world_from_voxel: Affine) -> Float[Tensor, "i j k 3"]:
    """Return the millimetre position of every voxel of a grid."""
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij")
    matrix, offset = as_map(world_from_voxel)
    return torch.stack(axes, dim=-1) @ matrix.T + offset


def blur(grid: Grid3D, sigma_voxels: float) -> Grid3D:
    """Smooth every channel by a Gaussian."""
    if sigma_voxels <= 0:
        return grid
    radius = int(np.ceil(3 * sigma_voxels))
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float32) / sigma_voxels) ** 2)
    return convolve_axes(grid, kernel / kernel.sum())


def convolve_axes(grid: Grid3D, kernel: Float[Tensor, " width"]) -> Grid3D:
    """Convolve along each axis in turn with one symmetric kernel; the edge values continue outwards.

    Sums of shifted copies: several times faster than a grouped convolution on one core.
    """
    radius = len(kernel) // 2
    for axis in (2, 3, 4):
        padding = [0] * 6
        padding[8 - 2 * axis] = padding[9 - 2 * axis] = radius
        padded, length = functional.pad(grid, padding, mode="replicate"), grid.shape[axis]
        grid = sum(
            (weight * padded.narrow(axis, start, length) for start, weight in enumerate(kernel.tolist())),
            start=torch.zeros(()),
        )
    return grid
