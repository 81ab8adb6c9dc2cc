"""A plain head around the brain: skull, scalp, neck and a front without features."""

import torch
from jaxtyping import Float
from torch import Tensor

from neurolatent.phantom.anatomy import Anatomy
from neurolatent.phantom.lattice import FINE, Lattice, Points, ScalarField, blur
from neurolatent.phantom.parameters import Scanner

HEAD = Lattice(spacing_mm=4.0, shape=(56, 72, 76), centre_mm=(0.0, -12.0, -25.0))
"""Of the distances that the layers of the head follow."""
SKULL_STARTS_MM, SKULL_ENDS_MM, SCALP_ENDS_MM = 2.0, 8.0, 14.0
FAT_MM = 4.0
BONE, MARROW, MUSCLE, FAT = 0.08, 0.40, 0.50, 0.95
"""Intensities over white matter's."""
NECK_CENTRE_MM, NECK_RADII_MM, NECK_TOP_MM = (0.0, -28.0), (56.0, 62.0), -30.0
FRONT_CENTRE_MM, FRONT_RADII_MM = (0.0, 36.0, -62.0), (62.0, 54.0, 80.0)
CORD_CENTRE_MM, CORD_TOP_MM = (0.0, -44.0), -70.0
CORD_RADIUS_MM, CANAL_RADIUS_MM, SPINE_RADIUS_MM = 6.0, 9.0, 19.0
EDGE_MM = 0.8
Values = Float[Tensor, " n"]


def distance_from_brain(anatomy: Anatomy) -> ScalarField:
    """Return the distance in mm from the inside of the anatomy's skull, on HEAD."""
    smoothed = blur(anatomy.maps[2:3], 1.0)
    inside = FINE.sample(smoothed, HEAD.points())[0].reshape(HEAD.shape) > 0.5
    inside &= _within(FINE, HEAD.points()).reshape(HEAD.shape)
    squared = torch.where(inside, 0.0, 1e6)
    for axis in range(3):
        squared = _nearest_along(squared, axis)
    distance = squared.sqrt() * HEAD.spacing_mm
    # Half a voxel lies, on average, between the surface and the nearest node outside.
    return blur((distance - 0.5 * HEAD.spacing_mm).clamp_min(0.0)[None], 0.7)[0]


def around_brain(places: Points, distance: Values, scanner: Scanner) -> Values:
    """Return the intensity of what is not brain, by place in standard space and distance from the brain in mm."""
    white = scanner.white
    depth = torch.maximum(SCALP_ENDS_MM - distance, _depth_below_head(places))
    body = white * (MUSCLE + (FAT - MUSCLE) * _step(FAT_MM - depth)) * _step(depth)
    cord = ((places[:2] - places.new_tensor(CORD_CENTRE_MM)[:, None]) ** 2).sum(0).sqrt()
    below = _step(CORD_TOP_MM - places[2])
    body = _paint(body, white * MARROW, below * _step(SPINE_RADIUS_MM - cord))
    body = _paint(body, scanner.fluid, below * _step(CANAL_RADIUS_MM - cord))
    body = _paint(body, 0.9 * white, below * _step(CORD_RADIUS_MM - cord))
    marrow = torch.exp(-(((distance - (SKULL_STARTS_MM + SKULL_ENDS_MM) / 2) / 1.5) ** 2))
    skull = white * (BONE + (MARROW - BONE) * marrow)
    body = _paint(body, skull, _step(SKULL_ENDS_MM - distance) * (1 - below))
    return _paint(body, scanner.fluid, _step(SKULL_STARTS_MM - distance))


def _depth_below_head(places: Points) -> Values:
    """Return how many mm inside the neck or the front of the head a place lies; negative outside both."""
    x, y, z = places
    neck = (
        1
        - (((x - NECK_CENTRE_MM[0]) / NECK_RADII_MM[0]) ** 2 + ((y - NECK_CENTRE_MM[1]) / NECK_RADII_MM[1]) ** 2).sqrt()
    )
    neck = torch.minimum(neck * min(NECK_RADII_MM), NECK_TOP_MM - z)
    centre, radii = (places.new_tensor(value)[:, None] for value in (FRONT_CENTRE_MM, FRONT_RADII_MM))
    front = (1 - (((places - centre) / radii) ** 2).sum(0).sqrt()) * min(FRONT_RADII_MM)
    return torch.maximum(neck, front)


def _paint(below: Values, value: Values | float, share: Values) -> Values:
    return below + (value - below) * share


def _step(depth_mm: Values) -> Values:
    return torch.sigmoid(depth_mm / (0.5 * EDGE_MM))


def _within(lattice: Lattice, points: Points) -> Tensor:
    """Say which points the lattice covers."""
    low = points.new_tensor(lattice.origin_mm)[:, None]
    high = low + lattice.spacing_mm * (points.new_tensor(lattice.shape)[:, None] - 1)
    return ((points >= low) & (points <= high)).all(dim=0)


def _nearest_along(squared: ScalarField, axis: int) -> ScalarField:
    """Take one axis's step of the exact squared distance transform: min over q of d(q) + (p − q)²."""
    last = squared.movedim(axis, -1)
    steps = torch.arange(last.shape[-1], dtype=squared.dtype)
    cost = (steps[:, None] - steps) ** 2
    return torch.stack([(row[:, None, :] + cost).amin(-1) for row in last]).movedim(-1, axis)
