"""Moved and mirrored copies of a scan: few people become more, and the scanner's grid is not what is learnt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

OneVolume = Float[Tensor, "1 i j k"]
Volumes = Float[Tensor, "n 1 i j k"]
ROTATION_SD_DEGREES = 1.5
SCALE_SD = 0.01
SHIFT_SD_VOXELS = 0.3


@dataclass(frozen=True)
class Variant:
    """A mirror or not, and a small movement about the grid's centre."""

    mirrored: bool
    rotation_degrees: tuple[float, float, float]
    scale: float
    shift_voxels: tuple[float, float, float]


def draw_variant(row: int, number: int) -> Variant | None:
    """Draw the numbered variant of a scan; number 0 is the scan itself, odd numbers are mirrored."""
    if number == 0:
        return None
    rng = np.random.default_rng([row, number])
    degrees = rng.normal(0, ROTATION_SD_DEGREES, 3)
    shift = rng.normal(0, SHIFT_SD_VOXELS, 3)
    scale = float(1 + rng.normal(0, SCALE_SD))
    a, b, c = (float(value) for value in degrees)
    i, j, k = (float(value) for value in shift)
    return Variant(mirrored=number % 2 == 1, rotation_degrees=(a, b, c), scale=scale, shift_voxels=(i, j, k))


def move(volumes: Volumes, variants: Sequence[Variant | None]) -> Volumes:
    """Resample scans as their variants say, as many at once as there are threads: torch shares out scans."""
    changed = [(place, variant) for place, variant in enumerate(variants) if variant]
    if not changed:
        return volumes
    moved, at_once = volumes.clone(), torch.get_num_threads()
    for start in range(0, len(changed), at_once):
        places, chosen = zip(*changed[start : start + at_once], strict=True)
        grids = torch.stack([_grid(_matrix(variant, volumes.shape[2:]), volumes.shape[2:]) for variant in chosen])
        moved[list(places)] = functional.grid_sample(volumes[list(places)], grids, align_corners=False)
    return moved


def _matrix(variant: Variant, shape: torch.Size) -> Float[Tensor, "3 4"]:
    """Return from where each place of the result is read; `grid_sample` counts axes from −1 to 1, and takes k, j, i."""
    linear = _rotation(variant.rotation_degrees) / variant.scale
    if variant.mirrored:
        linear = linear @ torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    unit_from_voxel = 2 / torch.tensor(shape, dtype=torch.float32)
    unit = torch.diag(unit_from_voxel) @ linear @ torch.diag(1 / unit_from_voxel)
    shift = torch.tensor(variant.shift_voxels) * unit_from_voxel
    theta = torch.cat([unit, shift[:, None]], dim=1).flip(0)
    return torch.cat([theta[:, :3].flip(1), theta[:, 3:]], dim=1)


def _grid(theta: Float[Tensor, "3 4"], shape: torch.Size) -> Float[Tensor, "i j k 3"]:
    """Return what torch's affine_grid does, axis by axis: it multiplies matrices, which took a third of a move."""
    i, j, k = ((2 * torch.arange(extent) + 1) / extent - 1 for extent in shape)
    along_k, along_j, along_i, shift = theta.unbind(1)
    plane = (i[:, None, None] * along_i + shift) + j[:, None] * along_j
    return plane[:, :, None] + k[:, None] * along_k


def _rotation(degrees: tuple[float, float, float]) -> Float[Tensor, "3 3"]:
    matrix = torch.eye(3)
    for axis, angle in enumerate(math.radians(value) for value in degrees):
        first, second = [other for other in range(3) if other != axis]
        turn = torch.eye(3)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        matrix = turn @ matrix
    return matrix
