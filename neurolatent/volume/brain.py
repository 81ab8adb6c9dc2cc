"""The intracranial mask: the template's surface carried to the head, its margin set by height and intensity."""

import numpy as np
import SimpleITK as sitk  # noqa: N813

from neurolatent.shapes import MaskArray, VoxelArray
from neurolatent.volume.head import Head
from neurolatent.volume.register import Fit
from neurolatent.volume.resample import smooth, to_array, to_image
from neurolatent.volume.sampling import voxel_centres_mm
from neurolatent.volume.target import template_distance_mm
from neurolatent.volume.warp import Warp

BASE_MARGIN_MM = 1.0
# Fluid over the convexity is thicker than the template's: the margin grows with height.
VERTEX_MARGIN_MM, VERTEX_FROM_Z_MM, VERTEX_TO_Z_MM = 0.6, -20.0, 40.0
# Dark voxels at the rim are skull or fluid and pull the surface in; those as bright as brain push it out.
DARK_MARGIN_MM, DARK_BELOW = 3.0, 0.3
# Brighter still is fat or marrow.
BRIGHT_MARGIN_MM, BRIGHT_FROM, BRIGHT_RANGE = 2.0, 0.75, 0.25
DEEP_MM = -20.0
# One voxel of the rim says little: its neighbours are asked too, and each speaks louder the further it lies inside.
INTENSITY_SIGMA_VOXELS, MASK_SIGMA_VOXELS, CERTAIN_FROM_MM = 1.0, 1.0, 1.5


def soft_mask(head: Head, fit: Fit, warp: Warp) -> VoxelArray:
    """Return the mask on the head's grid before its last threshold at 0.5, so that it can be resampled smoothly."""
    distance_mm, height_mm = _carried(head, fit, warp)
    intensity = smooth(head.voxels, [INTENSITY_SIGMA_VOXELS] * 3)
    intensity = intensity / max(float(np.median(intensity[distance_mm < DEEP_MM])), 1e-6)
    depth_mm = _margin_mm(height_mm, intensity) - distance_mm
    inside = np.clip(depth_mm / CERTAIN_FROM_MM, -1, 1).astype(np.float32)
    solid = _filled(_largest(smooth(inside, [MASK_SIGMA_VOXELS] * 3) > 0))
    return smooth(solid.astype(np.float32), [MASK_SIGMA_VOXELS / 2] * 3)


def _margin_mm(height_mm: VoxelArray, intensity: VoxelArray) -> VoxelArray:
    rise = np.clip((height_mm - VERTEX_FROM_Z_MM) / (VERTEX_TO_Z_MM - VERTEX_FROM_Z_MM), 0, 1)
    dark = np.minimum(intensity / DARK_BELOW, 1) - 0.5
    bright = np.clip((intensity - BRIGHT_FROM) / BRIGHT_RANGE, 0, 1)
    return BASE_MARGIN_MM + VERTEX_MARGIN_MM * rise + DARK_MARGIN_MM * dark - BRIGHT_MARGIN_MM * bright


def _carried(head: Head, fit: Fit, warp: Warp) -> tuple[VoxelArray, VoxelArray]:
    """Return, at each voxel of the head, the template's distance to its surface and the height z, in mm."""
    template_from_voxel = np.linalg.inv(fit.matrix) @ head.world_from_voxel
    points_mm = voxel_centres_mm(head.voxels.shape, template_from_voxel)
    near_mm = points_mm.reshape(-1, 3)
    carried_mm = near_mm + warp.displacement_mm(near_mm)
    distance_mm = template_distance_mm(carried_mm).reshape(head.voxels.shape)
    return distance_mm.numpy(), points_mm[..., 2].numpy()


def _largest(mask: MaskArray) -> MaskArray:
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(to_image(mask.astype(np.uint8))))
    return to_array(pieces) == 1


def _filled(mask: MaskArray) -> MaskArray:
    return to_array(sitk.BinaryFillhole(to_image(mask.astype(np.uint8)))) > 0
