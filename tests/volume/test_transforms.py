"""Claims about transforms: other programs read what is written, and it leads where the volume came from."""

from pathlib import Path

import heads
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from neurolatent.volume.preprocess import preprocess
from neurolatent.volume.resample import to_array
from neurolatent.volume.space import Grid
from neurolatent.volume.transforms import read_transform, write_transform

SPACING_MM = 8.0


@pytest.fixture
def scan_from_standard() -> np.ndarray:
    return heads.pose((14, -6, 8), (9, -12, 16))


def test_a_transform_comes_back(tmp_path, scan_from_standard):
    write_transform(tmp_path / "xfm.txt", scan_from_standard)
    np.testing.assert_allclose(read_transform(tmp_path / "xfm.txt"), scan_from_standard, atol=1e-9)


def test_nitransforms_reads_it_as_the_same_map(tmp_path, scan_from_standard):
    linear = pytest.importorskip("nitransforms.linear")
    write_transform(tmp_path / "xfm.txt", scan_from_standard)
    read = linear.Affine.from_filename(tmp_path / "xfm.txt", fmt="itk")
    np.testing.assert_allclose(read.matrix, scan_from_standard, atol=1e-6)


def test_simpleitk_resamples_the_raw_scan_to_where_the_volume_lies(tmp_path, monkeypatch):
    heads.skip_registration(monkeypatch.setattr)
    raw = heads.write_head(tmp_path / "source/head.nii.gz", heads.pose(), orientation="LIA")
    workspace = heads.write_workspace(tmp_path / "out", tmp_path / "source", [heads.visit("sub-01", "head.nii.gz")])
    assert preprocess(workspace, spacing_mm=SPACING_MM).done == 1
    folder = workspace.derivatives / "sub-01/ses-M00/anat"
    volume = nib.load(next(folder.glob("*_T1w.nii.gz"))).get_fdata()
    resampled = _resampled(raw, next(folder.glob("*_xfm.txt")), next(folder.glob("*_T1w.nii.gz")))
    assert volume.shape == Grid(SPACING_MM).shape
    assert np.corrcoef(resampled[volume > 0], volume[volume > 0])[0, 1] > 0.8


def _resampled(raw: Path, transform: Path, like: Path) -> np.ndarray:
    """What a user's own lines of SimpleITK make of it."""
    moving, fixed = (sitk.ReadImage(str(path), sitk.sitkFloat32) for path in (raw, like))
    return to_array(sitk.Resample(moving, fixed, sitk.ReadTransform(str(transform)), sitk.sitkLinear))
