"""What registration aims at: the template's T1 and the signed distance to its intracranial surface."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from jaxtyping import Float
from torch import Tensor

from neurolatent.shapes import Affine, MaskArray, VoxelArray
from neurolatent.volume.sampling import as_grid, read_at
from neurolatent.volume.template import TemplateMaps, template_maps

TARGET_MM = 2
BRAIN_THRESHOLD = 10 / 255
CLOSING_MM = 6.0
# The cistern behind the brainstem is wider than any sulcus: it takes a wider closing to count as inside.
CISTERN_CLOSING_MM = 12.0
CISTERN_BACK_OF_Y_MM, CISTERN_BELOW_Z_MM = -35.0, -20.0
PADDING_MM = 20
FAR_MM = 30.0


@dataclass(frozen=True, eq=False)
class Target:
    """The template as registration sees it, on one 2 mm RAS+ grid."""

    t1: VoxelArray
    """In [0, 1], without a skull."""
    distance_mm: VoxelArray
    """To the intracranial surface, negative inside."""
    world_from_voxel: Affine

    @property
    def inside(self) -> MaskArray:
        """The intracranial space."""
        return self.distance_mm < 0


@cache
def registration_target() -> Target:
    """Return the target; made once in each process."""
    maps = template_maps()
    t1, brain = _halved(maps.t1), _halved((maps.t1 > BRAIN_THRESHOLD).astype(np.float32)) > 0.5
    world_from_voxel = _padded_affine(maps)
    distance_mm = _signed_distance_mm(_intracranial(brain, world_from_voxel))
    for array in (t1, distance_mm):
        array.flags.writeable = False
    return Target(t1, distance_mm, world_from_voxel)


def template_distance_mm(points_mm: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points"]:
    """Return the distance of template-space points to the intracranial surface, negative inside, at most 30 mm."""
    below_far, origin_mm = _distance_below_far()
    return FAR_MM + read_at(below_far, (points_mm - origin_mm) / TARGET_MM)[0]


def _halved(array: VoxelArray) -> Float[np.ndarray, "half_i half_j half_k"]:
    """Pad a 1 mm map, then average blocks of 2×2×2 voxels."""
    widths = [(PADDING_MM, PADDING_MM + length % TARGET_MM) for length in array.shape]
    padded = np.pad(array, widths)
    i, j, k = (length // TARGET_MM for length in padded.shape)
    return padded.reshape(i, TARGET_MM, j, TARGET_MM, k, TARGET_MM).mean(axis=(1, 3, 5), dtype=np.float32)


@cache
def _distance_below_far() -> tuple[Float[Tensor, "1 1 i j k"], Float[Tensor, "3"]]:
    """Return the distance less its limit, so that reading outside the template gives far."""
    target = registration_target()
    below = as_grid(np.minimum(target.distance_mm, FAR_MM) - FAR_MM)
    return below, torch.from_numpy(target.world_from_voxel[:3, 3]).float()


def _padded_affine(maps: TemplateMaps) -> Affine:
    world_from_voxel = np.diag([TARGET_MM, TARGET_MM, TARGET_MM, 1.0])
    world_from_voxel[:3, 3] = maps.world_from_voxel[:3, 3] - PADDING_MM + (TARGET_MM - 1) / 2
    return world_from_voxel


def _intracranial(brain: MaskArray, world_from_voxel: Affine) -> MaskArray:
    y_mm, z_mm = (np.arange(brain.shape[a]) * TARGET_MM + world_from_voxel[a, 3] for a in (1, 2))
    cistern = (y_mm < CISTERN_BACK_OF_Y_MM)[None, :, None] & (z_mm < CISTERN_BELOW_Z_MM)[None, None, :]
    inside = np.where(cistern, _closed(brain, CISTERN_CLOSING_MM), _closed(brain, CLOSING_MM))
    # The template is cut at z = −72 mm, where the padding begins: nothing below counts as inside.
    inside[:, :, : PADDING_MM // TARGET_MM] = False
    return inside


def _closed(mask: MaskArray, radius_mm: float) -> MaskArray:
    """Dilate, then erode, by a ball; whole voxels would otherwise lose a rim, hence the union."""
    dilated = _signed_distance_mm(mask) < radius_mm
    return mask | (_signed_distance_mm(dilated) < -radius_mm)


def _signed_distance_mm(mask: MaskArray) -> VoxelArray:
    """Return the distance to the mask's surface, negative inside (Maurer et al. 2003).

    The filter gives 0 at the outermost voxels inside; the surface lies half a voxel further out.
    """
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False)
    return (sitk.GetArrayFromImage(distance).astype(np.float32) - np.float32(0.5)) * TARGET_MM
