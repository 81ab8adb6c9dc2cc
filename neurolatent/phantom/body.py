"""One person's anatomy in standard space: a gyral pattern, an own shape, and change of any amplitude."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurolatent.phantom.anatomy import MAPS, MASKS, TISSUES, Anatomy, draw_noise
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
    invert,
)
from neurolatent.phantom.parameters import PhantomParameters
from neurolatent.volume.space import CENTRES_MM, Grid

PERIVENTRICULAR_WEIGHT = 3.0
LESION_SCALES_MM, LESION_SIZES = (5.0, 12.0), (0.8, 0.6)
LESION_EDGE = 0.15
"""Of scores: how softly a hypointensity begins."""
NEVER = 10.0
PRESENT = 0.002
BISECTIONS = 24
REACH_MM, REACH_SHARE = 6.0, 0.02
"""Points are kept where the template's brain, blurred by so much, exceeds this share: within 12 mm of it."""


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
    lesion_noise: ScalarField
    """On COARSE, in the anatomy's space: where this person's white matter is weak."""

    @cached_property
    def shape(self) -> VectorField:
        """Displacement from the anatomy to the person."""
        return flow_on_lattice(self.shape_velocity, COARSE)

    @cached_property
    def shape_inverse(self) -> VectorField:
        """Displacement from the person to the anatomy."""
        return flow_on_lattice(-self.shape_velocity, COARSE)

    @cached_property
    def presence(self) -> ScalarField:
        """On COARSE: above 0 wherever this person may have anything inside the skull, which change does not move."""
        inside = self.anatomy.tissues[TISSUES.index("intracranial")][None]
        reached = FINE.sample(inside, self.to_shape(COARSE.points())) > PRESENT
        return reached.to(inside.dtype).reshape(COARSE.shape)

    def near(self, points: BrainPoints) -> BrainPoints:
        """Return those of the points at which this person may have anything inside the skull."""
        if points.lattice not in self._near:
            chosen = COARSE.sample(self.presence[None], points.points)[0] > 0
            self._near[points.lattice] = BrainPoints(
                points.points[:, chosen].contiguous(), points.places[chosen], points.lattice
            )
        return self._near[points.lattice]

    @cached_property
    def _near(self) -> dict[Lattice, BrainPoints]:
        return {}

    @cached_property
    def lesion_scores(self) -> ScalarField:
        """On COARSE: white matter above a threshold of it is hypointense; around the ventricles comes first."""
        hindbrain = self.anatomy.masks[MASKS.index("hindbrain")]
        return PERIVENTRICULAR_WEIGHT * self.anatomy.periventricular + self.lesion_noise - NEVER * hindbrain

    def to_anatomy(self, amplitudes: Amplitudes, points: Points) -> Points:
        """Carry points of the person, changed by that much, to the anatomy."""
        return self.fields.undo(amplitudes, self.to_shape(points))

    def to_shape(self, points: Points) -> Points:
        """Carry points of the person to those of the anatomy, changed as the person is."""
        return points + COARSE.sample(self.shape_inverse, points)

    def from_anatomy(self, amplitudes: Amplitudes, places: Points, *, near: Points | None = None) -> Points:
        """Carry places of the anatomy to the person, changed by that much: the inverse of `to_anatomy`.

        `near` is a guess of where they go, made here where none is given.
        """
        undo = self.fields.undoing(amplitudes)
        if near is None:
            roughly = self.fields.roughly_applying(amplitudes)(places)
            near = roughly + COARSE.sample(self.shape, roughly)
        return invert(lambda points: undo(self.to_shape(points)), places, near)

    def hypointense(self, places: Points, threshold: float) -> Float[Tensor, " n"]:
        """Return how much of the white matter at places of the anatomy is hypointense."""
        scores = COARSE.sample(self.lesion_scores[None], places)[0]
        return torch.sigmoid((scores - threshold) / LESION_EDGE)

    def lesion_threshold(self, amplitudes: Amplitudes, points: BrainPoints, volume_ml: float) -> float:
        """Return the threshold at which that much white matter is hypointense, by bisection."""
        places = self.to_anatomy(amplitudes, points.points)
        white = FINE.sample(self.anatomy.maps[MAPS.index("white")][None], places)[0]
        scores = COARSE.sample(self.lesion_scores[None], places)[0]
        wanted = volume_ml * 1000 / points.lattice.spacing_mm**3
        low, high = float(scores.min()), float(scores.max()) + NEVER
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            too_much = float((white * torch.sigmoid((scores - middle) / LESION_EDGE)).sum()) > wanted
            low, high = (middle, high) if too_much else (low, middle)
        return (low + high) / 2


def draw_lesion_noise(rng: np.random.Generator) -> ScalarField:
    """Draw where a person's white matter is weak: smooth noise of unit size."""
    return draw_noise(rng, COARSE, LESION_SCALES_MM, LESION_SIZES)[0]


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
    return Lattice(grid.spacing_mm / parts, (i, j, k), CENTRES_MM[grid.view])


def brain_points(support: Float[Tensor, "_ _ _"], lattice: Lattice) -> BrainPoints:
    """Return the nodes within reach of the template's brain (`support`, on COARSE)."""
    nodes = lattice.points()
    near = blur_mm(support[None], COARSE, REACH_MM)
    places = torch.nonzero(COARSE.sample(near, nodes)[0] > REACH_SHARE)[:, 0]
    return BrainPoints(nodes[:, places].contiguous(), places, lattice)
