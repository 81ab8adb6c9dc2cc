"""A DICOM series is read as the NIfTI file of the same head would be; what cannot be one volume is refused."""

import locale
from pathlib import Path
from shutil import copytree

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from neurolatent.errors import ScanError
from neurolatent.volume.dicom import series_files
from neurolatent.volume.load import read_scan
from neurolatent.volume.opening import hash_input

UID = "1.2.826.0.1.3680043.2.1125."
SPACING_MM = (1.0, 1.5, 1.2)
ORIGIN_LPS_MM = (-30.0, -20.0, 12.0)
SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
"""Columns along back, feet, left: how many T1w scans are taken."""


def draw_head(shape: tuple[int, int, int] = (12, 14, 10)) -> np.ndarray:
    """Return grey values without any symmetry, by (k, j, i)."""
    return np.random.default_rng(3).integers(1, 900, shape[::-1], dtype=np.int16)


def write_series(folder: Path, values: np.ndarray, *, series: int = 1, skip: int | None = None) -> Path:
    """Write the slices of a volume, one file each."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    direction = np.reshape(SAGITTAL, (3, 3))
    for place, plane in enumerate(values):
        if place == skip:
            continue
        image = sitk.GetImageFromArray(plane[None])
        image.SetSpacing(SPACING_MM)
        position = np.array(ORIGIN_LPS_MM) + direction[:, 2] * SPACING_MM[2] * place
        for tag, text in {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.4",
            "0008|0018": f"{UID}{series}.{place}",
            "0008|0060": "MR",
            "0020|000d": f"{UID}9",
            "0020|000e": f"{UID}{series}",
            "0020|0013": str(place),
            "0020|0032": "\\".join(f"{value:g}" for value in position),
            "0020|0037": "\\".join(f"{value:g}" for value in (*direction[:, 0], *direction[:, 1])),
            "0018|0050": f"{SPACING_MM[2]:g}",
        }.items():
            image.SetMetaData(tag, text)
        writer.SetFileName(str(folder / f"series{series}_{place:03d}.dcm"))
        writer.Execute(image)
    return folder


def test_a_series_is_read_as_the_nifti_file_of_the_same_head(tmp_path: Path):
    values = draw_head()
    direction = np.reshape(SAGITTAL, (3, 3))
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-1, -1, 1]) @ direction * SPACING_MM
    affine[:3, 3] = np.array([-1, -1, 1]) * ORIGIN_LPS_MM
    nib.save(nib.Nifti1Image(values.transpose(2, 1, 0), affine), tmp_path / "head.nii")
    series, file = read_scan(write_series(tmp_path / "dicom", values)), read_scan(tmp_path / "head.nii")
    np.testing.assert_array_equal(series.voxels, file.voxels)
    np.testing.assert_allclose(series.world_from_voxel, file.world_from_voxel, atol=1e-4)
    assert series.flags == ("read from a DICOM series",)


def test_two_series_in_a_folder_are_listed_and_refused(tmp_path: Path):
    write_series(tmp_path / "both", draw_head())
    folder = write_series(tmp_path / "both", draw_head((12, 14, 4)), series=2)
    with pytest.raises(ScanError, match=r"both: expected one DICOM series, got 2: .*\(10 files\); .*\(4 files\)"):
        read_scan(folder)


def test_a_missing_slice_is_told(tmp_path: Path):
    folder = write_series(tmp_path / "gap", draw_head(), skip=4)
    with pytest.raises(ScanError, match=r"gap: expected evenly spaced slices, got steps of 1.2 to 2.4 mm"):
        read_scan(folder)


def test_a_folder_without_a_series_is_told(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScanError, match=r"empty: expected a DICOM series, found none"):
        read_scan(tmp_path / "empty")


def test_the_hash_is_of_what_the_files_hold_and_not_of_their_names(tmp_path: Path):
    one = write_series(tmp_path / "one", draw_head())
    other = Path(copytree(one, tmp_path / "other"))
    first = series_files(other)[0]
    first.rename(first.with_name("renamed.dcm"))
    assert hash_input(one) == hash_input(other)
    first.with_name("renamed.dcm").unlink()
    assert hash_input(one) != hash_input(other)


def test_a_slice_that_cannot_be_read_is_named(tmp_path: Path):
    folder = write_series(tmp_path / "cut", draw_head())
    cut = sorted(folder.iterdir())[5]
    cut.write_bytes(cut.read_bytes()[:200])
    with pytest.raises(ScanError, match=rf"cut: expected DICOM slices only, got 1 that cannot be read \({cut.name}\)"):
        read_scan(folder)


def test_slices_at_one_place_are_no_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_series(tmp_path / "flat", draw_head())
    monkeypatch.setattr("neurolatent.volume.dicom._position_mm", lambda _: (0.0, 0.0, 5.0))
    with pytest.raises(ScanError, match="flat: expected evenly spaced slices, got steps of 0 to 0 mm"):
        read_scan(folder)


def test_the_processs_locale_stays_as_it_was(tmp_path: Path):
    folder = write_series(tmp_path / "dicom", draw_head())
    locale.setlocale(locale.LC_ALL, "C.UTF-8")
    read_scan(folder)
    assert locale.setlocale(locale.LC_CTYPE) == "C.UTF-8"
