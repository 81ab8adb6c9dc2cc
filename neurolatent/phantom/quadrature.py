"""Points and weights at which a person's volumes are summed: fine where structures are small, coarse elsewhere."""

from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from neurolatent.phantom.body import Body, BrainPoints
from neurolatent.phantom.change import Amplitudes
from neurolatent.phantom.lattice import Points
from neurolatent.phantom.structures import REGIONS

LEVELS = {3: ("third_ventricle", "inferior_horn", "entorhinal"), 2: ("hippocampus",)}
"""Parts of a cell along each axis, finest first: for what a lattice of 4 mm would miss by per cents."""
SMALL_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class Quadrature:
    """Points of standard space, already carried to the shape of the anatomy, and the volume each stands for."""

    shaped: Points
    weights_ml: Float[Tensor, " n"]

    def volumes_ml(self, body: Body, amplitudes: Amplitudes) -> Float[Tensor, " volume"]:
        """Return the volumes of REGIONS in standard space, then that of the inside of the skull."""
        return body.anatomy.region_shares(body.fields.undo(amplitudes, self.shaped)) @ self.weights_ml


def even_quadrature(body: Body, points: BrainPoints) -> Quadrature:
    """Give every point of a lattice the same weight."""
    shaped = body.to_shape(points.points)
    return Quadrature(shaped, torch.full_like(shaped[0], points.lattice.spacing_mm**3 / 1000))


def refined_quadrature(body: Body, amplitudes: Amplitudes, points: BrainPoints) -> Quadrature:
    """Divide the cells of a lattice in and next to which, at these amplitudes, there is a small structure."""
    even = even_quadrature(body, points)
    shares = body.anatomy.region_shares(body.fields.undo(amplitudes, even.shaped))
    whole = torch.ones_like(even.weights_ml, dtype=torch.bool)
    shaped, weights = [], []
    for divisions, parts in LEVELS.items():
        small = shares[[place for place, region in enumerate(REGIONS) if region.startswith(parts)]]
        cells = whole & _grown(points, small.amax(dim=0) > SMALL_SHARE)
        whole &= ~cells
        divided = _divided(points.points[:, cells], points.lattice.spacing_mm, divisions)
        shaped.append(body.to_shape(divided))
        weights.append(torch.full_like(divided[0], (points.lattice.spacing_mm / divisions) ** 3 / 1000))
    return Quadrature(torch.cat([even.shaped[:, whole], *shaped], dim=1), torch.cat([even.weights_ml[whole], *weights]))


def _divided(centres: Points, spacing_mm: float, divisions: int) -> Float[Tensor, "3 _"]:
    """Return the centres of the parts of cells."""
    offsets = centres.new_tensor(list(product(range(divisions), repeat=3))).T - (divisions - 1) / 2
    return (centres[:, :, None] + spacing_mm / divisions * offsets[:, None, :]).reshape(3, -1)


def _grown(points: BrainPoints, chosen: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Add the six neighbours of the chosen cells."""
    grid = points.scatter(chosen[None].to(torch.float32))
    grown = grid
    for axis in range(3):
        size, padding = [1, 1, 1], [0, 0, 0]
        size[axis], padding[axis] = 3, 1
        grown = torch.maximum(grown, functional.max_pool3d(grid, size, stride=1, padding=padding))
    return grown.reshape(-1)[points.places] > 0.5
