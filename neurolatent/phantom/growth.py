"""Velocities from what grows and what shrinks: each is the flow that makes volume here and takes it there."""

from jaxtyping import Float
from torch import Tensor

from neurolatent.phantom.lattice import (
    COARSE,
    Field,
    Lattice,
    ScalarField,
    VectorField,
    blur_mm,
    divergence,
    velocity_from_growth,
)

TINY = 1e-4
VENTRICLE_WIDTHS_MM = {"lateral_ventricle": 5.0, "third_ventricle": 3.5, "inferior_horn": 3.5}
"""Of the sources that open each part of the ventricles."""
REACH_WIDTHS = 2.8
"""How far white matter makes room, over the width of the source."""


def exchange(giver: ScalarField, receiver: ScalarField, lattice: Lattice, *, reach_mm: float) -> ScalarField:
    """Return a growth of −giver, and of the receiver by as much, within about `reach_mm` of where it was lost."""
    nearby = blur_mm(receiver[None], lattice, reach_mm)[0].clamp_min(TINY)
    return receiver * blur_mm((giver / nearby)[None], lattice, reach_mm)[0] - giver


def confined_velocity(growth: ScalarField, window: ScalarField, lattice: Lattice) -> VectorField:
    """Return the velocity of that growth, held still where the window is 0 (the skull)."""
    return velocity_from_growth(growth, lattice) * window


def per_log_volume(velocity: VectorField, region: ScalarField, lattice: Lattice) -> VectorField:
    """Scale a velocity so that a unit amplitude changes the region's log volume by 1 at first, in either direction."""
    rate = (divergence(velocity, lattice.spacing_mm) * region).sum() / region.sum()
    return velocity / rate.abs()


def skull_window(intracranial: ScalarField, lattice: Lattice, *, rim_mm: float) -> ScalarField:
    """Return 1 deep inside the skull, falling to 0 at its inner face over about twice the rim."""
    smoothed = blur_mm(intracranial[None], lattice, rim_mm)[0]
    return ((smoothed - 0.55) / 0.4).clamp(0.0, 1.0)


def coarsen(field: Field, fine: Lattice, coarse: Lattice) -> Float[Tensor, "_ _ _ _"]:
    """Carry a field to a coarser lattice without aliasing."""
    smoothed = blur_mm(field, fine, 0.4 * coarse.spacing_mm)
    return fine.sample(smoothed, coarse.points()).reshape(field.shape[0], *coarse.shape)


def ventricle_velocity(
    ventricle: ScalarField, white: ScalarField, window: ScalarField, *, width_mm: float
) -> VectorField:
    """Return the flow that opens a ventricle at the expense of the white matter around it, on COARSE."""
    # The source is wider than the ventricle, so that what has opened goes on opening; deep grey matter moves with it.
    source = blur_mm(ventricle[None], COARSE, width_mm)[0].clamp_min(0.0)
    receiver = white / (1 + 8 * source / source.max())
    growth = -exchange(source, receiver, COARSE, reach_mm=REACH_WIDTHS * width_mm)
    return per_log_volume(confined_velocity(growth, window, COARSE), ventricle, COARSE)
