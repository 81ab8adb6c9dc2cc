"""Find where one image lies in another: many starts at once, normalised correlation, Adam."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import log
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.linalg import polar
from scipy.spatial.transform import Rotation
from torch import Tensor

from neurolatent.shapes import Affine
from neurolatent.volume.head import WORKING_MM, Head
from neurolatent.volume.sampling import Grid3D, as_grid, as_map, blur, read_at

RADIUS_MM = 70.0
"""A unit of rotation, scale or shear moves the brain's surface by a millimetre, as a unit of translation does."""
TYPICAL_SCALE = 0.85
ROTATION_WEIGHT, SIZE_WEIGHT, ANISOTROPY_WEIGHT, SHEAR_WEIGHT = 0.01, 0.5, 0.5, 1.0
ROTATION, TRANSLATION, LOG_SCALE, SHEAR = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12)

Registration = Literal["rigid", "similarity", "affine"]
"""What may differ between two images: their pose; and one scale; and three scales with shear."""
Parameters = Float[Tensor, "start 12"]
OneStart = Float[Tensor, "12"]
PerStart = Float[Tensor, " start"]


@dataclass(frozen=True)
class Level:
    """One stage of a search: from coarse to fine."""

    spacing_mm: float
    smoothing_mm: float
    iterations: int
    step_mm: float


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is sought in the head: intensities at points, and the point about which they turn."""

    points_mm: Float[Tensor, "point 3"]
    values: Float[Tensor, " point"]
    centre_mm: Float[Tensor, "3"]


def start(*, pitch_rad: float, forward_mm: float, up_mm: float, scale: float) -> OneStart:
    """Return the parameters of one start."""
    row = torch.zeros(12)
    row[0], row[4], row[5] = pitch_rad * RADIUS_MM, forward_mm, up_mm
    row[LOG_SCALE] = log(scale) * RADIUS_MM
    return row


def climb(
    head: Head, wanted: Wanted, starts: Parameters, level: Level, *, registration: Registration = "affine"
) -> tuple[Parameters, PerStart]:
    """Maximise the correlation from every start; return where each ends and its correlation there.

    Only an affine is held back by penalties: pose and one scale cannot go astray unnoticed.
    """
    volume = blur(as_grid(head.voxels), level.smoothing_mm / WORKING_MM)
    to_voxel, voxel_offset = as_map(np.linalg.inv(head.world_from_voxel))

    def correlation(parameters: Parameters) -> PerStart:
        matrix, offset = transforms(parameters, wanted, head)
        voxels = wanted.points_mm @ (to_voxel @ matrix).mT + (offset @ to_voxel.T + voxel_offset)[:, None]
        return _correlate(read_at(volume, voxels)[0], wanted.values, seen=_within(voxels.detach(), volume))

    parameters = starts.clone().requires_grad_()
    optimiser = torch.optim.Adam([parameters], lr=level.step_mm)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, level.iterations, eta_min=level.step_mm / 20)
    for _ in range(level.iterations):
        optimiser.zero_grad()
        loss = -correlation(parameters)
        if registration == "affine":
            loss = loss + _penalty(parameters)
        loss.sum().backward()
        if parameters.grad is not None:
            _hold(parameters.grad, registration)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return parameters.detach(), correlation(parameters)


def as_affine(parameters: OneStart, wanted: Wanted, head: Head) -> Affine:
    """Return the affine from the wanted image's millimetres to the head's."""
    matrix, offset = transforms(parameters[None], wanted, head)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix[0].double().numpy(), offset[0].double().numpy()
    return affine


def as_parameters(affine: Affine, wanted: Wanted, head: Head, *, registration: Registration = "affine") -> OneStart:
    """Return the parameters of an affine, or of the nearest transform of fewer degrees of freedom.

    Pose is that of the affine's rotation (polar decomposition) about the wanted image's centre; one scale keeps the
    volume.
    """
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
    if registration == "affine":
        turned, stretched = np.linalg.qr(matrix)
        signs = np.sign(np.diag(stretched))
        turned, stretched = turned * signs, stretched * signs[:, None]
    else:
        scale = np.linalg.det(matrix) ** (1 / 3) if registration == "similarity" else 1.0
        turned, stretched = polar(matrix)[0], scale * np.eye(3)
    scales = np.diag(stretched)
    row = torch.zeros(12)
    row[ROTATION] = torch.from_numpy(Rotation.from_matrix(turned).as_rotvec() * RADIUS_MM)
    row[TRANSLATION] = torch.from_numpy(matrix @ wanted.centre_mm.double().numpy() + affine[:3, 3] - head.centre_mm)
    row[LOG_SCALE] = torch.from_numpy(np.log(scales) * RADIUS_MM)
    row[SHEAR] = torch.from_numpy((stretched / scales)[np.triu_indices(3, 1)] * RADIUS_MM)
    return row


def log_determinants(parameters: Parameters) -> PerStart:
    """Return the logarithm of the change in volume."""
    return parameters[:, LOG_SCALE].sum(dim=1) / RADIUS_MM


def transforms(
    parameters: Parameters, wanted: Wanted, head: Head
) -> tuple[Float[Tensor, "start 3 3"], Float[Tensor, "start 3"]]:
    """Return matrix and offset: stretched, sheared and turned about the centre, which is put on the head's."""
    angles, log_scales, shears = (parameters[:, part] / RADIUS_MM for part in (ROTATION, LOG_SCALE, SHEAR))
    matrix = _rotations(angles) @ _sheared(shears) @ torch.diag_embed(log_scales.exp())
    centre_mm = torch.from_numpy(head.centre_mm).float() + parameters[:, TRANSLATION]
    return matrix, centre_mm - matrix @ wanted.centre_mm


def stack(starts: Iterable[OneStart]) -> Parameters:
    """Return starts as one batch."""
    return torch.stack(list(starts))


def _sheared(shears: Float[Tensor, "start 3"]) -> Float[Tensor, "start 3 3"]:
    upper = torch.eye(3).repeat(len(shears), 1, 1)
    rows, columns = torch.triu_indices(3, 3, offset=1)
    upper[:, rows, columns] = shears
    return upper


def _rotations(angles_rad: Float[Tensor, "start 3"]) -> Float[Tensor, "start 3 3"]:
    """Return the rotations whose axis times angle is given."""
    x, y, z = angles_rad.unbind(dim=1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    return torch.linalg.matrix_exp(skew)


def _within(voxels: Float[Tensor, "start point 3"], volume: Grid3D) -> Bool[Tensor, "start point"]:
    """Tell which points lie in the field of view: what a scan does not show is no evidence."""
    last = torch.tensor(volume.shape[2:], dtype=torch.float32) - 1
    return ((voxels >= 0) & (voxels <= last)).all(dim=-1)


def _correlate(
    found: Float[Tensor, "start point"], wanted: Float[Tensor, " point"], *, seen: Bool[Tensor, "start point"]
) -> PerStart:
    """Return each row's normalised cross-correlation with the wanted values over the points that are seen."""
    share = seen / seen.sum(dim=1, keepdim=True).clamp_min(1)
    found = (found - (found * share).sum(dim=1, keepdim=True)) * seen
    sought = (wanted - share @ wanted[:, None]) * seen
    return (found * sought).sum(dim=1) / (found.norm(dim=1) * sought.norm(dim=1) + 1e-6)


def _hold(gradient: Parameters, registration: Registration) -> None:
    """Keep what a registration leaves alone where it is."""
    if registration == "affine":
        return
    gradient[:, SHEAR] = 0
    gradient[:, LOG_SCALE] = gradient[:, LOG_SCALE].mean(dim=1, keepdim=True) if registration == "similarity" else 0


def _penalty(parameters: Parameters) -> PerStart:
    angles, log_scales, shears = (parameters[:, part] / RADIUS_MM for part in (ROTATION, LOG_SCALE, SHEAR))
    size = log_scales.mean(dim=1, keepdim=True)
    return (
        ROTATION_WEIGHT * angles.square().sum(dim=1)
        + SIZE_WEIGHT * (size[:, 0] - log(TYPICAL_SCALE)).square()
        + ANISOTROPY_WEIGHT * (log_scales - size).square().sum(dim=1)
        + SHEAR_WEIGHT * shears.square().sum(dim=1)
    )
