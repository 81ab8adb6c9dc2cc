"""One person's anatomy in standard space: a gyral pattern, an own shape, and change of any amplitude."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurolatent.phantom.anatomy import Anatomy, draw_noise
from neurolatent.phantom.change import Amplitudes, ChangeFields
from neurolatent.phantom.lattice import (
    COARSE,
    FINE,
    Field,
    Lattice,
    Points,
    ScalarField,
    VectorField,
    blur_mm,
    flow_on_lattice,
)
from neurolatent.phantom.parameters import PhantomParameters
from neurolatent.volume.space import CENTRE_MM, Grid

REACH_MM, REACH_SHARE = 6.0, 0.05
"""Points are kept where the template's brain, blurred by so much, exceeds this share: within 10 mm of it."""


@dataclass(frozen=True, eq=False)
class BrainPoints:
    """The nodes of a standard-space grid at which there may be a brain."""

    points: Points
    places: Int[Tensor, " n"]
    """Their positions in the flattened grid."""
    lattice: Lattice

    def scatter(self, values: Float[Tensor, "_ n"]) -> Field:
        """Put values back into the grid, 0 elsewhere."""
        full = values.new_zeros(values.shape[0], prod(self.lattice.shape))
        full[:, self.places] = values
        return full.reshape(values.shape[0], *self.lattice.shape)


@dataclass(frozen=True, eq=False)
class Body:
    """A brain that is still to be aged: points of standard space ↔ points of its anatomy."""

    anatomy: Anatomy
    fields: ChangeFields
    shape_velocity: VectorField
    """On COARSE; its flow carries the anatomy to the person."""

    @cached_property
    def shape(self) -> VectorField:
        """Displacement from the anatomy to the person."""
        return flow_on_lattice(self.shape_velocity, COARSE)

    @cached_property
    def shape_inverse(self) -> VectorField:
        """Displacement from the person to the anatomy."""
        return flow_on_lattice(-self.shape_velocity, COARSE)

    def to_anatomy(self, amplitudes: Amplitudes, points: Points) -> Points:
        """Carry points of the person, changed by that much, to the anatomy."""
        return self.fields.undo(amplitudes, points + COARSE.sample(self.shape_inverse, points))

    def from_anatomy(self, amplitudes: Amplitudes, points: Points) -> Points:
        """Carry points of the anatomy to the person, changed by that much: the inverse of `to_anatomy`."""
        changed = self.fields.apply(amplitudes, points)
        return changed + COARSE.sample(self.shape, changed)

    def volumes_ml(self, amplitudes: Amplitudes, points: BrainPoints) -> tuple[Tensor, float]:
        """Return the volumes of REGIONS in standard space, and that of the inside of the skull.

        The points are all the brain points of one grid.
        """
        shares = FINE.sample(self.anatomy.measured, self.to_anatomy(amplitudes, points.points))
        sums = shares.sum(dim=1) * points.lattice.spacing_mm**3 / 1000
        return sums[:-1], float(sums[-1])


def draw_shape(rng: np.random.Generator, parameters: PhantomParameters, support: ScalarField) -> VectorField:
    """Draw the velocity whose flow is a person's shape, without what an affine registration would take out."""
    velocity = draw_noise(rng, COARSE, parameters.shape_scales_mm, parameters.shape_sizes_mm)
    terms = torch.cat([torch.ones_like(support.reshape(1, -1)), COARSE.points() / 100.0]).double()
    inside = terms * (support.reshape(-1) > 0.5)
    # Normal equations in float64: `lstsq` in float32 gives other last bits from one call to the next.
    fit = torch.linalg.solve(inside @ terms.T, inside @ velocity.reshape(3, -1).double().T)
    return velocity - (fit.T @ terms).float().reshape(velocity.shape)


def standard_lattice(grid: Grid, *, parts: int = 1) -> Lattice:
    """Return the nodes of a standard-space grid, each voxel divided into that many parts along each axis."""
    i, j, k = (extent * parts for extent in grid.shape)
    return Lattice(grid.spacing_mm / parts, (i, j, k), CENTRE_MM)


def brain_points(support: Float[Tensor, "_ _ _"], lattice: Lattice) -> BrainPoints:
    """Return the nodes within reach of the template's brain (`support`, on COARSE)."""
    nodes = lattice.points()
    near = blur_mm(support[None], COARSE, REACH_MM)
    places = torch.nonzero(COARSE.sample(near, nodes)[0] > REACH_SHARE)[:, 0]
    return BrainPoints(nodes[:, places].contiguous(), places, lattice)
