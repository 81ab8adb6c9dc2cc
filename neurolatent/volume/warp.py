"""A non-linear refinement of the affine, for the mask only: it never touches the volume that is kept."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from neurolatent.shapes import Affine
from neurolatent.volume.head import WORKING_MM, Head
from neurolatent.volume.register import Fit
from neurolatent.volume.sampling import as_grid, as_map, blur, convolve_axes, read_at, voxel_centres_mm
from neurolatent.volume.target import TARGET_MM, registration_target, template_distance_mm

NEAR_MM = 12.0
CONTROL_KERNEL = (0.25, 0.5, 0.25)
VARIANCE_FLOOR = 1e-4
"""Of intensities whose brain median is 1: flatter windows say nothing."""

Displacement = Float[Tensor, "1 3 i j k"]
Layer = Float[Tensor, "1 3 _ _ _"]
"""Control points; each stage has its own grid of them."""


@dataclass(frozen=True)
class Stage:
    """Spacing of the control points, their first step, and what the stages share.

    Chosen on eight heads: a stage at 2 mm took four times as long and lost Dice, as did a softer field.
    """

    control_mm: float
    step_mm: float
    spacing_mm: float = 4.0
    iterations: int = 20
    stiffness: float = 4.0
    window: int = 3


STAGES = (
    Stage(control_mm=16.0, step_mm=0.6),
    Stage(control_mm=10.0, step_mm=0.4),
)


@dataclass(frozen=True, eq=False)
class Warp:
    """Displacements in millimetres at control points over the template's field of view.

    A point x of affinely placed head space lies at x + displacement of the template.
    """

    layers: tuple[Layer, ...]

    def displacement_mm(self, points_mm: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 3"]:
        """Return the displacement at template-space points."""
        total = torch.zeros_like(points_mm)
        origin_mm, extent_mm = _field_of_view()
        for layer in self.layers:
            last = torch.tensor(layer.shape[2:], dtype=torch.float32) - 1
            total = total + read_at(layer, (points_mm - origin_mm) / extent_mm * last).movedim(0, -1)
        return total


def fit_warp(head: Head, fit: Fit) -> Warp:
    """Maximise the squared positive local correlation of template and affinely placed head."""
    warp = Warp(())
    for stage in STAGES:
        warp = _refine(warp, stage, head, fit)
    return warp


def _refine(warp: Warp, stage: Stage, head: Head, fit: Fit) -> Warp:
    points_mm, distance_mm = _stage_points(stage)
    fixed = _placed(head, fit, points_mm, stage, inside=distance_mm < 0)
    similarity = _LocalCorrelation(fixed, (distance_mm < NEAR_MM).float()[None, None], stage.window)
    moving, origin_mm = _moving(stage)
    known_mm = points_mm + warp.displacement_mm(points_mm)
    control = torch.zeros(1, 3, *_control_shape(stage)).requires_grad_()
    optimiser = torch.optim.Adam([control], lr=stage.step_mm)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, stage.iterations, eta_min=stage.step_mm / 10)
    for _ in range(stage.iterations):
        optimiser.zero_grad()
        layer = _smooth_control(control)
        dense = functional.interpolate(layer, size=points_mm.shape[:3], mode="trilinear", align_corners=True)
        warped = read_at(moving, (known_mm + dense[0].movedim(0, -1) - origin_mm) / TARGET_MM)
        loss = stage.stiffness * _roughness(dense / stage.spacing_mm) - similarity(warped[None])
        loss.backward()
        optimiser.step()
        schedule.step()
    return Warp((*warp.layers, _smooth_control(control).detach()))


class _LocalCorrelation:
    """Mean of the squared positive correlation in boxes around every point near the brain."""

    def __init__(self, fixed: Float[Tensor, "1 1 i j k"], near: Float[Tensor, "1 1 i j k"], window: int) -> None:
        self._kernel = torch.full((window,), 1 / window)
        self._fixed, self._weight = fixed, near / near.sum()
        self._mean = self._average(fixed)
        self._variance = self._average(fixed * fixed) - self._mean**2

    def __call__(self, moving: Float[Tensor, "1 1 i j k"]) -> Float[Tensor, ""]:
        averages = self._average(torch.cat([moving, moving * moving, moving * self._fixed], dim=1))
        mean, square, product = averages.split(1, dim=1)
        covariance = (product - mean * self._mean).clamp_min(0)
        variances = (square - mean**2).clamp_min(0) * self._variance.clamp_min(0)
        return (self._weight * covariance**2 / (variances + VARIANCE_FLOOR**2)).sum()

    def _average(self, grid: Float[Tensor, "1 channel i j k"]) -> Float[Tensor, "1 channel i j k"]:
        return convolve_axes(grid, self._kernel)


def _placed(
    head: Head, fit: Fit, points_mm: Float[Tensor, "i j k 3"], stage: Stage, *, inside: Bool[Tensor, "i j k"]
) -> Float[Tensor, "1 1 i j k"]:
    """Return the head read at template points through the affine, its brain's median set to 1."""
    volume = blur(as_grid(head.voxels), 0.83 * _smoothing_mm(stage) / WORKING_MM)
    matrix, offset = as_map(np.linalg.inv(head.world_from_voxel) @ fit.matrix)
    values = read_at(volume, points_mm @ matrix.T + offset)
    return (values / values[:, inside].median().clamp_min(1e-6))[None]


def _roughness(field: Displacement) -> Float[Tensor, ""]:
    """Return the mean squared gradient."""
    return sum((field.diff(dim=axis).square().mean() for axis in (2, 3, 4)), start=torch.zeros(()))


def _smooth_control(control: Displacement) -> Displacement:
    return convolve_axes(control, torch.tensor(CONTROL_KERNEL))


def _smoothing_mm(stage: Stage) -> float:
    return stage.spacing_mm * 0.4


def _control_shape(stage: Stage) -> tuple[int, int, int]:
    i, j, k = (round(float(extent) / stage.control_mm) + 1 for extent in _field_of_view()[1])
    return i, j, k


@cache
def _moving(stage: Stage) -> tuple[Float[Tensor, "1 1 i j k"], Float[Tensor, "3"]]:
    """Return the smoothed template and its grid's origin."""
    target = registration_target()
    return blur(as_grid(target.t1), _smoothing_mm(stage) / TARGET_MM), torch.from_numpy(
        target.world_from_voxel[:3, 3]
    ).float()


@cache
def _field_of_view() -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Return the origin and extent in millimetres of the box around all that is near the template's brain."""
    target = registration_target()
    near = np.argwhere(target.distance_mm < NEAR_MM) * TARGET_MM
    low = near.min(axis=0) + target.world_from_voxel[:3, 3]
    extent = np.ceil((near.max(axis=0) - near.min(axis=0)) / 4) * 4
    return torch.from_numpy(low).float(), torch.from_numpy(extent).float()


@cache
def _stage_points(stage: Stage) -> tuple[Float[Tensor, "i j k 3"], Float[Tensor, "i j k"]]:
    """Return the positions of a stage's grid and their distances to the template's surface."""
    origin_mm, extent_mm = _field_of_view()
    affine: Affine = np.diag([stage.spacing_mm] * 3 + [1.0])
    affine[:3, 3] = origin_mm.numpy()
    points_mm = voxel_centres_mm([int(extent / stage.spacing_mm) + 1 for extent in extent_mm.tolist()], affine)
    return points_mm, template_distance_mm(points_mm)
