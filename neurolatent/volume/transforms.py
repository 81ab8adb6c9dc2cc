"""Transforms as ITK writes them, for SimpleITK, ANTs and nitransforms."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from neurolatent.provenance import whole_file
from neurolatent.shapes import Affine

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK counts towards left and back, NIfTI towards right and front."""


def write_transform(path: Path, scan_from_standard: Affine) -> None:
    """Write the affine that resamples a scan into standard space: ITK maps points of the target to the source."""
    lps = LPS_FROM_RAS @ scan_from_standard @ LPS_FROM_RAS
    transform = sitk.AffineTransform(3)
    transform.SetMatrix([float(value) for value in lps[:3, :3].ravel()])
    transform.SetTranslation([float(value) for value in lps[:3, 3]])
    with whole_file(path) as temporary:
        sitk.WriteTransform(transform, str(temporary))


def read_transform(path: Path) -> Affine:
    """Return `scan_from_standard`, world to world in RAS+ millimetres."""
    transform = sitk.AffineTransform(sitk.ReadTransform(str(path)))
    lps = np.eye(4)
    lps[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    lps[:3, 3] = np.array(transform.GetTranslation())
    return LPS_FROM_RAS @ lps @ LPS_FROM_RAS
