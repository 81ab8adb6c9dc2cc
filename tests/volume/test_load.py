"""Claims about reading raw scans: what can be used comes upright, what cannot is refused in one line that helps."""

import gzip
import re
import struct

import nibabel as nib
import numpy as np
import pytest

from neurolatent.errors import ScanError
from neurolatent.volume.load import read_scan

SHAPE = (20, 24, 16)
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def values(shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 100, shape).astype(np.float32)


def save(path, array=None, affine=AFFINE):
    nib.save(nib.Nifti1Image(values() if array is None else array, affine), path)
    return path


def with_codes(path, *, qform_code, sform_code, rows):
    """Change the stored header itself: a library would repair it on writing."""
    stored = bytearray(gzip.decompress(save(path).read_bytes()))
    struct.pack_into("<2h", stored, 252, qform_code, sform_code)
    struct.pack_into("<12f", stored, 280, *np.ravel(rows))
    path.write_bytes(gzip.compress(bytes(stored)))


def truncated(path):
    save(path)
    path.write_bytes(path.read_bytes()[:-2000])


def empty(path):
    path.write_bytes(b"")


def with_voxel(value):
    array = values()
    array[3, 4, 5] = value
    return array


BAD = {
    "truncated": (
        truncated,
        "expected a whole image, got one that breaks off or is damaged. Copy or download it again.",
    ),
    "empty": (empty, "expected an image, got an empty file. Copy or download it again."),
    "absent": (
        lambda path: None,
        "expected an image, found no such file. Restore it, remove its row, or state --source.",
    ),
    "text": (
        lambda path: path.write_bytes(gzip.compress(b"not an image at all" * 100)),
        "expected a NIfTI or MGZ image, got a file of another kind or with a damaged header. Convert it to NIfTI.",
    ),
    "4D": (
        lambda path: save(path, values((20, 24, 16, 2))),
        "expected one 3D volume, got shape (20, 24, 16, 2). Extract one frame first, e.g. `mri_convert --frame 0`.",
    ),
    "2D": (
        lambda path: save(path, values((20, 24))),
        "expected one 3D volume, got shape (20, 24). Extract one frame first, e.g. `mri_convert --frame 0`.",
    ),
    "slice": (
        lambda path: save(path, values((20, 24, 1))),
        "expected one 3D volume, got a single slice of shape (20, 24, 1). Use the whole series.",
    ),
    "colours": (
        lambda path: save(path, np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])),
        (
            "expected one number a voxel, got the type [('R', 'u1'), ('G', 'u1'), ('B', 'u1')]. "
            "Convert it to grey values first."
        ),
    ),
    "zero": (
        lambda path: save(path, np.zeros(SHAPE, np.float32)),
        "expected a head, got 0 in every voxel. Copy or convert it again.",
    ),
    "constant": (
        lambda path: save(path, np.full(SHAPE, 7, np.int16)),
        "expected a head, got 7 in every voxel. Copy or convert it again.",
    ),
    "NaN": (
        lambda path: save(path, with_voxel(np.nan)),
        "expected finite intensities, got 1 NaN or infinite voxels. Convert it again.",
    ),
    "infinite": (
        lambda path: save(path, with_voxel(np.inf)),
        "expected finite intensities, got 1 NaN or infinite voxels. Convert it again.",
    ),
    "metres": (
        lambda path: save(path, affine=np.diag([0.002, 0.002, 0.003, 1.0])),
        "expected voxels of 0.2 to 8 mm, got 0.002×0.002×0.003 mm. Check the header's units.",
    ),
    "singular": (
        lambda path: with_codes(path, qform_code=0, sform_code=2, rows=[[1, 0, 0, 0]] * 3),
        "expected an invertible affine, got a singular one. Convert it again from its DICOM files.",
    ),
    "no orientation": (
        lambda path: with_codes(path, qform_code=0, sform_code=0, rows=AFFINE[:3]),
        "expected an orientation, got sform and qform codes of 0. Convert it again from its DICOM files.",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_each_bad_file_is_refused_by_name_with_what_came_and_a_way_out(kind, tmp_path):
    make, wording = BAD[kind]
    path = tmp_path / "sub-01_T1w.nii.gz"
    make(path)
    with pytest.raises(ScanError, match=f"^{re.escape(f'{path.name}: {wording}')}$"):
        read_scan(path)


def test_an_analyze_image_is_refused_for_its_missing_orientation(tmp_path):
    nib.save(nib.AnalyzeImage(values(), AFFINE), tmp_path / "scan.img")
    with pytest.raises(ScanError, match="expected an orientation"):
        read_scan(tmp_path / "scan.img")


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PSR", "LIA", "ASL"])
def test_every_stored_orientation_comes_back_as_the_same_ras_volume(orientation, tmp_path):
    affine = nib.affines.from_matvec(np.diag([2.0, 2.0, 3.0]), [-10, -20, 5])
    image = nib.Nifti1Image(values(), affine)
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(orientation)
    )
    nib.save(image.as_reoriented(turn), tmp_path / "scan.nii.gz")
    scan = read_scan(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(scan.voxels, values())
    np.testing.assert_allclose(scan.world_from_voxel, affine, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float64])
def test_numbers_of_every_kind_come_as_float32(dtype, tmp_path):
    scan = read_scan(save(tmp_path / "scan.nii", values().astype(dtype)))
    assert scan.voxels.dtype == np.float32
    np.testing.assert_array_equal(scan.voxels, values().astype(dtype).astype(np.float32))


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path):
    assert read_scan(save(tmp_path / "scan.nii.gz", values()[..., None])).voxels.shape == SHAPE
