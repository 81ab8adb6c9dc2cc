"""NIfTI files whose bytes depend on nothing but what they hold."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

from neurolatent.provenance import whole_file
from neurolatent.shapes import Affine

SCANNER_CODE, MNI_CODE = 1, 4
"""NIfTI's codes for what an affine leads to."""
VECTOR_INTENT = 1006
"""NIFTI_INTENT_DISPVECT: the fifth axis holds displacements in mm."""


def write_nifti(path: Path, values: np.ndarray, world_from_voxel: Affine, code: int, *, intent: int = 0) -> None:
    """Write a compressed NIfTI, whole or not at all, without a time in its header."""
    image = nib.Nifti1Image(values, world_from_voxel)
    image.header.set_xyzt_units("mm")
    if intent:
        image.header.set_intent(intent)
    image.set_sform(world_from_voxel, code)
    image.set_qform(world_from_voxel, code)
    with whole_file(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
