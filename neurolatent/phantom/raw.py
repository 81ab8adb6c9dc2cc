"""Raw head scans: the person's own size and pose, the site's voxels and orientation."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurolatent.phantom.head import HEAD, around_brain
from neurolatent.phantom.lattice import COARSE, FINE, Field, Points, ScalarField, blur
from neurolatent.phantom.parameters import Site
from neurolatent.phantom.scanner import Acquisition, Axes, Placement, record, transform, weighted
from neurolatent.phantom.subject import Subject
from neurolatent.shapes import Affine, VoxelArray

FIELD_OF_VIEW_MM = (208.0, 248.0, 248.0)
FIELD_CENTRE_MM = (0.0, -8.0, -22.0)
NEAR_BRAIN_MM = 6.0
DIRECTIONS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
"""World axis and sign of each letter."""


@dataclass(frozen=True, eq=False)
class RawScan:
    """A head scan in its own voxels, and the truth about where the head lies."""

    volume: VoxelArray
    world_from_voxel: Affine
    standard_from_world: Placement
    """Carries the scanner's millimetres to standard space."""


def raw_scan(subject: Subject, distance: ScalarField, months: float, acquisition: Acquisition) -> RawScan:
    """Scan the whole head; `distance` is that from the anatomy's brain, on HEAD."""
    scale = subject.native_scale * subject.site.scale
    standard_from_world = np.linalg.inv(acquisition.placement @ np.diag([scale, scale, scale, 1.0]))
    axes = _ras_axes(subject.site)
    points = torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    places = transform(standard_from_world, points)
    shaped = places + COARSE.sample(subject.body.shape_inverse, places)
    apart = HEAD.sample(distance[None], shaped)[0]
    maps = _brain_maps(subject, places, apart, months, acquisition)
    intensity = weighted(maps, subject.site) + (1 - maps[2]) * around_brain(shaped, apart, subject.site)
    voxel_mm = subject.site.raw_voxel_mm
    sigmas = tuple(subject.site.point_spread_mm / size for size in voxel_mm)
    blurred = blur(intensity.reshape(1, *(len(axis) for axis in axes)), sigmas)[0]
    spacing_mm = float(np.prod(voxel_mm)) ** (1 / 3)
    volume = record(blurred, axes, acquisition, subject.site, spacing_mm=spacing_mm).cpu().numpy()
    return RawScan(*_orient(volume, axes, subject.site), standard_from_world)


def _brain_maps(
    subject: Subject, places: Points, apart: Float[Tensor, " n"], months: float, acquisition: Acquisition
) -> Float[Tensor, "4 n"]:
    """Sample the anatomy where there may be brain, 0 elsewhere."""
    near = torch.nonzero(apart < NEAR_BRAIN_MM)[:, 0]
    amplitudes = subject.amplitudes(months, ventricle_day=acquisition.ventricle_day)
    sampled: Field = FINE.sample(subject.body.anatomy.maps, subject.body.to_anatomy(amplitudes, places[:, near]))
    maps = places.new_zeros(sampled.shape[0], places.shape[1])
    maps[:, near] = sampled
    return maps


def _ras_axes(site: Site) -> Axes:
    """Return the voxel positions along x, y and z."""
    counts = [round(extent / size) for extent, size in zip(FIELD_OF_VIEW_MM, site.raw_voxel_mm, strict=True)]
    x, y, z = (
        centre + size * (torch.arange(count, dtype=torch.float32) - (count - 1) / 2)
        for centre, size, count in zip(FIELD_CENTRE_MM, site.raw_voxel_mm, counts, strict=True)
    )
    return x, y, z


def _orient(volume: VoxelArray, axes: Axes, site: Site) -> tuple[Float[np.ndarray, "_ _ _"], Affine]:
    """Store the volume in the site's orientation, with the affine that says so."""
    directions = [DIRECTIONS[letter] for letter in site.raw_orientation]
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for column, (axis, sign) in enumerate(directions):
        affine[axis, column] = sign * site.raw_voxel_mm[axis]
        affine[axis, 3] = float(axes[axis][0 if sign > 0 else -1])
    stored = np.transpose(volume, [axis for axis, _ in directions])
    flipped = tuple(column for column, (_, sign) in enumerate(directions) if sign < 0)
    return np.ascontiguousarray(np.flip(stored, flipped)), affine
