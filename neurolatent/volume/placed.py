"""A scan whose place in standard space is known, and the one resampling that takes it there."""

from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from jaxtyping import Float

from neurolatent.errors import ScanError
from neurolatent.provenance import whole_file
from neurolatent.shapes import Affine, MaskArray, VoxelArray
from neurolatent.volume.head import Head, correct_bias, even_out
from neurolatent.volume.intensity import normalise_intensity
from neurolatent.volume.load import Scan
from neurolatent.volume.quality import template_mask
from neurolatent.volume.resample import MaskOnTarget, resample, resample_smoothed
from neurolatent.volume.space import Grid

MIN_COVERAGE = 0.8
MNI_CODE = 4
"""NIfTI's code for coordinates in the MNI152 space."""


@dataclass(frozen=True, eq=False)
class Placed:
    """A scan, its working copy, and the affine from standard space to the scan's own, both in millimetres."""

    name: str
    scan: Scan
    head: Head
    scan_from_standard: Affine

    def evened(self, mask: MaskArray, grid: Grid) -> "Placed":
        """Return the same scan with the bias field that is left inside the mask removed."""
        return replace(self, head=even_out(self.head, self.brain_in_head(mask, grid)))

    def brain_in_head(self, mask: MaskArray, grid: Grid) -> MaskOnTarget:
        """Carry a mask of standard space to the working copy's voxels."""
        return _carried(mask, self.head_from_grid(grid), self.head.voxels)

    def brain_in_scan(self, mask: MaskArray, grid: Grid) -> MaskOnTarget:
        """Carry a mask of standard space to the scan's voxels."""
        return _carried(mask, self.scan_from_grid(grid), self.scan.voxels)

    def head_from_grid(self, grid: Grid) -> Affine:
        """Return the affine from a grid's voxels to those of the working copy."""
        return np.linalg.inv(self.head.world_from_voxel) @ self.scan_from_standard @ grid.world_from_voxel

    def scan_from_grid(self, grid: Grid) -> Affine:
        """Return the affine from a grid's voxels to those of the scan."""
        return np.linalg.inv(self.scan.world_from_voxel) @ self.scan_from_standard @ grid.world_from_voxel


def _carried(mask: MaskArray, target_from_grid: Affine, target: Float[np.ndarray, "_ _ _"]) -> MaskOnTarget:
    i, j, k = target.shape
    return resample(mask.astype(np.float32), np.linalg.inv(target_from_grid), (i, j, k)) > 0.5


def volume_on_grid(placed: Placed, mask: MaskArray, grid: Grid) -> VoxelArray:
    """Resample the scan's own voxels, their bias removed, once; then map them to [0, 1] inside the mask."""
    corrected = correct_bias(placed.scan, placed.head)
    return normalise_intensity(resample_smoothed(corrected, placed.scan_from_grid(grid), grid.shape), mask)


def mask_to_grid(soft: VoxelArray, head: Head, head_from_standard: Affine, grid: Grid) -> MaskOnTarget:
    """Resample a mask that is known on the working grid."""
    head_from_grid = np.linalg.inv(head.world_from_voxel) @ head_from_standard @ grid.world_from_voxel
    return resample_smoothed(soft, head_from_grid, grid.shape, interpolator=sitk.sitkLinear) > 0.5


def coverage(placed: Placed, grid: Grid) -> float:
    """Return the share of the template's intracranial space that the field of view holds; refuse too small a one."""
    to_voxel = placed.scan_from_grid(grid)
    voxels = np.argwhere(template_mask(grid)) @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    within = (voxels >= -0.5) & (voxels <= np.array(placed.scan.voxels.shape) - 0.5)
    share = float(within.all(axis=1).mean())
    if share < MIN_COVERAGE:
        expected = f"expected at least {MIN_COVERAGE:.0%} of the brain in the field of view"
        msg = f"{placed.name}: {expected}, got {share:.0%}. Use a scan of the whole head."
        raise ScanError(msg)
    return share


def write_image(path: Path, array: np.ndarray, grid: Grid) -> None:
    """Write a NIfTI on a grid, whole or not at all."""
    image = nib.Nifti1Image(array, grid.world_from_voxel)
    image.header.set_xyzt_units("mm")
    image.set_sform(grid.world_from_voxel, MNI_CODE)
    image.set_qform(grid.world_from_voxel, MNI_CODE)
    with whole_file(path) as temporary:
        nib.save(image, temporary)
