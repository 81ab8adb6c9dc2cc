"""What a header or a file's size tells against a scan is told by the scan's name, and nothing of a sound one."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from planting import AFFINE, SHAPE, SPACING_MM, save

from neurolatent.contract.headers import ImageTask, look_at_header, look_at_headers
from neurolatent.volume.space import Grid
from neurolatent.workspace import ScanKey

KEY = ScanKey("sub-01", "ses-M00", "1")
DICOM = "convert it again from its DICOM files."
COLOURS = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
GIVEN = "sub-01_ses-M00_space-MNI152NLin2009aSym_res-8_desc-preproc_T1w.nii.gz"
BROKEN = "expected a whole image, got one that breaks off or is damaged. Copy or download it again."


def voxels(shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1000, shape)


def bare(path: Path, array: np.ndarray, **fields) -> None:
    """Write a NIfTI file byte by byte: a library would repair its header."""
    header = nib.Nifti1Image(array, AFFINE).header
    header.set_xyzt_units("mm")
    stated = {"vox_offset": 352, "scl_slope": 1, "scl_inter": 0, "sform_code": 1, "qform_code": 1} | fields
    for name, value in stated.items():
        header[name] = value
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4) + array.tobytes("F"), compresslevel=1))


def cut(path: Path) -> None:
    save(path, voxels())
    path.write_bytes(path.read_bytes()[:-3000])


def link(path: Path) -> None:
    outside = save(path.parent.parent / "elsewhere.nii.gz", voxels())
    path.symlink_to(outside)


def spaced(mm: float) -> np.ndarray:
    return np.diag([SPACING_MM, SPACING_MM, mm, 1.0])


ODD = "Preprocessing goes on so; convert the scan again where that is wrong."
PLANTED = {
    "absent": (
        lambda path: None,
        "error",
        "expected an image, got no such file. Restore it, remove its row, or state --source.",
    ),
    "empty file": (
        lambda path: path.write_bytes(b""),
        "error",
        "expected an image, got an empty file. Copy or download it again.",
    ),
    "a folder": (
        lambda path: path.mkdir(),
        "error",
        "expected an image or a DICOM series, got a folder without one. Copy or download it again.",
    ),
    "text": (
        lambda path: path.write_bytes(gzip.compress(b"not an image" * 100)),
        "error",
        ("expected a NIfTI or MGZ image, got a file of another kind or with a damaged header. Convert it to NIfTI."),
    ),
    "outside the source": (
        link,
        "error",
        (
            "expected a path in the source folder, got one that leads out of it. "
            "Copy the image into the folder, or correct its row."
        ),
    ),
    "cut off": (cut, "error", BROKEN),
    "4D": (
        lambda path: save(path, voxels((*SHAPE, 2))),
        "error",
        "expected one 3D volume, got shape (54, 60, 54, 2). Extract one frame first, e.g. `mri_convert --frame 0`.",
    ),
    "one slice": (
        lambda path: save(path, voxels((54, 60, 1))),
        "error",
        "expected one 3D volume, got a single slice of shape (54, 60, 1). Use the whole series.",
    ),
    "colours": (
        lambda path: bare(path, np.zeros(SHAPE, COLOURS), datatype=128, bitpix=24),
        "error",
        (
            "expected one number a voxel, got the type [('R', 'u1'), ('G', 'u1'), ('B', 'u1')]. "
            "Convert it to grey values first."
        ),
    ),
    "no orientation": (
        lambda path: bare(path, voxels().astype("i2"), sform_code=0, qform_code=0),
        "error",
        f"expected an orientation, got sform and qform codes of 0. It is never guessed: {DICOM}",
    ),
    "an affine of zeros": (
        lambda path: bare(path, voxels().astype("i2"), srow_x=[0] * 4, srow_y=[0] * 4, srow_z=[0] * 4, qform_code=0),
        "error",
        f"expected an invertible affine, got a singular one. {DICOM.capitalize().replace('dicom', 'DICOM')}",
    ),
    "voxels of 4 cm": (
        lambda path: save(path, voxels(), affine=np.diag([40.0, 40, 40, 1])),
        "error",
        "expected voxels of 0.2 to 8 mm, got 40×40×40 mm. Check the header's units.",
    ),
    "two affines apart": (
        lambda path: bare(path, voxels().astype("i2"), srow_x=[4, 0, 0, 9]),
        "warning",
        f"expected a header that says one thing, got qform and sform disagree by 9.0 mm; the sform was used. {ODD}",
    ),
    "no units": (
        lambda path: bare(path, voxels().astype("i2"), xyzt_units=0),
        "note",
        f"expected a header that says one thing, got units not stated, taken as millimetres. {ODD}",
    ),
    "a field of view too small": (
        lambda path: save(path, voxels((20, 60, 54))),
        "warning",
        (
            "expected a field of view of 100 to 512 mm along each axis, got 80×240×216 mm. "
            "Check the header's voxel sizes, or use the whole series."
        ),
    ),
    "thick slices": (
        lambda path: save(path, voxels(), affine=spaced(6)),
        "warning",
        (
            "expected voxels of at most 4 mm, got 4×4×6 mm. "
            "Thick slices hide small structures and tell the site: use a 3D T1w series."
        ),
    ),
    "in a template's space": (
        lambda path: save(path, voxels(), code=4),
        "warning",
        (
            "expected a scan in its own space, got a header that places it in MNI152 space (code 4). "
            "Use the raw scan: a warp to a template flattens the atrophy that is looked for."
        ),
    ),
}


def look(folder: Path, name: str = "scan.nii.gz"):
    return look_at_header(ImageTask(KEY, folder, name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    return path


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_of_a_header_is_told_by_the_scans_name(folder, kind):
    plant, severity, what = PLANTED[kind]
    plant(folder / "scan.nii.gz")
    check = look(folder)
    assert [(r.severity, str(r.where), r.what) for r in check.remarks] == [(severity, "sub-01/ses-M00/1", what)]
    assert check.usable == (severity != "error")


@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 1), (*SHAPE, 1, 1)])
@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii"])
def test_a_sound_scan_gives_no_remark_even_with_an_axis_of_length_1(folder, name, shape):
    save(folder / name, voxels(shape))
    check = look(folder, name)
    assert check.remarks == ()
    assert check.usable


def test_a_file_beside_the_image_is_named_where_it_is_at_fault(folder):
    nib.save(nib.Nifti1Pair(voxels().astype("i2"), AFFINE), folder / "scan.img")
    (folder / "scan.img").unlink()
    (remark,) = look(folder, "scan.hdr").remarks
    assert str(remark.where) == "scan.img, sub-01/ses-M00/1"


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("scan.nii.gz", lambda stored: stored[:-1]),
        ("scan.nii.gz", lambda stored: stored[: len(stored) // 2]),
        ("scan.nii.gz", lambda stored: gzip.compress(gzip.decompress(stored)[:-100])),
        ("scan.nii", lambda stored: stored[:-1]),
    ],
)
def test_a_file_that_breaks_off_is_found_without_reading_voxels(folder, name, damage):
    path = save(folder / name, voxels())
    path.write_bytes(damage(path.read_bytes()))
    (remark,) = look(folder, name).remarks
    assert (remark.severity, remark.what) == ("error", BROKEN)


def test_a_sound_packed_file_is_not_unpacked(folder, monkeypatch):
    save(folder / "scan.nii.gz", voxels())

    def refuse(*_):
        pytest.fail("unpacked")

    monkeypatch.setattr("neurolatent.volume.opening._unpacked_size", refuse)
    assert look(folder).remarks == ()


def test_zeros_or_a_second_stream_behind_the_voxels_are_no_fault(folder):
    stored = save(folder / "scan.nii.gz", voxels()).read_bytes()
    for behind in (bytes(512), gzip.compress(b"")):
        (folder / "scan.nii.gz").write_bytes(stored + behind)
        assert look(folder).remarks == ()


def test_a_standard_space_scan_needs_its_mask_and_its_grid(folder):
    grid = Grid(8.0)
    mask = GIVEN.replace("desc-preproc_T1w", "desc-brain_mask")
    save(folder / GIVEN, np.zeros(grid.shape), affine=grid.world_from_voxel, code=4)
    (remark,) = look(folder, GIVEN).remarks
    assert remark.what == (
        f"expected the mask of a standard-space scan, got no such file. Put {mask} beside it, or use the raw scan."
    )
    save(folder / mask, np.zeros(grid.shape), affine=grid.world_from_voxel)
    assert look(folder, GIVEN).remarks == ()
    assert look(folder, GIVEN).grid == grid
    save(folder / GIVEN, np.zeros(grid.shape), affine=np.diag([8.0, 8, 8, 1]))
    (remark,) = look(folder, GIVEN).remarks
    assert remark.what == (
        "expected one of our grids in MNI152NLin2009aSym, got shape (24, 32, 24) with voxels of 8 mm at another place. "
        "Use the raw scan instead."
    )


def test_headers_are_looked_at_in_order_and_warnings_stay_as_they_were(folder, recwarn):
    for name in "abc":
        bare(folder / f"{name}.nii.gz", voxels((25, 25, 25)).astype("i2"), xyzt_units=0)
    tasks = [ImageTask(ScanKey(name, "ses", "1"), folder, f"{name}.nii.gz") for name in "abc"]
    assert [check.task.key.participant_id for check in look_at_headers(tasks, jobs=2)] == ["a", "b", "c"]
    assert not recwarn.list


@pytest.mark.data
def test_real_heads_give_no_error(shared_data):
    folder = shared_data / "ixi-2mm" / "images"
    found = [look(folder, path.name) for path in sorted(folder.glob("*.nii.gz"))]
    assert len(found) > 90
    assert not [remark for check in found for remark in check.remarks]
    folder = shared_data / "longitudinal-ms"
    found = [look(folder, str(path.relative_to(folder))) for path in sorted(folder.glob("*/study*.nii.gz"))]
    assert found
    assert all(check.usable for check in found)


def test_the_folder_of_a_dicom_series_is_left_to_the_voxels(tmp_path):
    (tmp_path / "I1").mkdir()
    (tmp_path / "I1" / "1.DCM").write_bytes(b"a slice")
    found = look_at_header(ImageTask(ScanKey("sub-1", "ses-1", "1"), tmp_path, "I1"))
    assert (found.remarks, found.usable, found.stored) == ((), True, None)
