"""Claims about headers: repaired and told where one reading alone is possible, refused where left could be right."""

import re

import nibabel as nib
import numpy as np
import pytest

from neurolatent.errors import ScanError
from neurolatent.volume.load import read_scan
from neurolatent.volume.opening import hash_input

SHAPE = (20, 24, 16)
AFFINE = nib.affines.from_matvec(np.diag([2.0, 2.0, 3.0]), [-10, -20, 5])
SINGULAR = nib.affines.from_matvec([[1, 0, 0]] * 3, [0, 0, 0])
MIRROR = np.diag([-1.0, 1, 1, 1])
DICOM = "Convert it again from its DICOM files."


def values() -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 100, SHAPE).astype(np.float32)


def write(path, array=None, *, endianness="<", **fields):
    """Write a NIfTI file byte by byte: a library would repair its header."""
    array = values() if array is None else array
    header = nib.Nifti1Header(endianness=endianness)
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header.set_xyzt_units("mm")
    stated = {"vox_offset": 352, "scl_slope": 1, "scl_inter": 0, **sform(AFFINE), **qform(AFFINE), **fields}
    for name, value in stated.items():
        header[name] = value
    data = array.astype(array.dtype.newbyteorder(endianness)).tobytes("F")
    path.write_bytes(header.binaryblock + bytes(4) + data)
    return path


def sform(affine, code=1) -> dict:
    return {"sform_code": code, "srow_x": affine[0], "srow_y": affine[1], "srow_z": affine[2]}


def qform(affine, code=1, **others) -> dict:
    header = nib.Nifti1Header()
    header.set_qform(affine, code)
    names = ("qform_code", "pixdim", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
    return {name: header[name].copy() for name in names} | others


def pixdim(*numbers) -> np.ndarray:
    return np.array([*numbers, 1, 0, 0, 0], np.float32)


def shifted(mm: float) -> np.ndarray:
    return nib.affines.from_matvec(np.eye(3), [mm, 0, 0]) @ AFFINE


def turned(degrees: float) -> np.ndarray:
    """Turned about the first voxel, in the plane of the slices."""
    turn = nib.affines.from_matvec(nib.eulerangles.euler2mat(z=np.radians(degrees)))
    first = nib.affines.from_matvec(np.eye(3), AFFINE[:3, 3])
    return first @ turn @ np.linalg.inv(first) @ AFFINE


def scaled(factor: float) -> np.ndarray:
    return np.diag([factor, factor, factor, 1]) @ AFFINE


TOLD = {
    "nothing odd": ({}, (), AFFINE),
    "qform alone": (sform(SINGULAR, 0), (), AFFINE),
    "sform alone": (qform(AFFINE, 0), (), AFFINE),
    "no handedness, which stands for 1": (qform(AFFINE, pixdim=pixdim(0, 2, 2, 3)) | sform(SINGULAR, 0), (), AFFINE),
    "sform of no meaning": (sform(shifted(50), 77), (), AFFINE),
    "rounding": (qform(shifted(0.1)), (), AFFINE),
    "shift": (qform(shifted(12.3)), ("qform and sform disagree by 12.3 mm; the sform was used",), AFFINE),
    "turn": (qform(turned(5)), ("qform and sform disagree by 5.2 mm; the sform was used",), AFFINE),
    "sform stretched to a template": (
        sform(scaled(1.2), 4),
        ("the sform's voxels have 1.73 times the qform's volume; the sform was used",),
        scaled(1.2),
    ),
    "singular sform": (sform(SINGULAR), ("sform unusable, the qform was used",), AFFINE),
    "NaN in the sform": (sform(AFFINE * np.nan), ("sform unusable, the qform was used",), AFFINE),
    "NaN voxel sizes": ({"pixdim": pixdim(1, *[np.nan] * 3)}, ("qform unusable, the sform was used",), AFFINE),
    "handedness of -2": ({"pixdim": pixdim(-2, 2, 2, 3)}, ("qform unusable, the sform was used",), AFFINE),
    "impossible quaternion": ({"quatern_b": 2}, ("qform unusable, the sform was used",), AFFINE),
    "no unit": ({"xyzt_units": 0}, ("units not stated, taken as millimetres",), AFFINE),
    "unknown unit": ({"xyzt_units": 5}, ("units not stated, taken as millimetres",), AFFINE),
    "seconds": ({"xyzt_units": 2 + 8}, (), AFFINE),
    "metres": (
        {"xyzt_units": 1} | sform(scaled(1e-3)) | qform(scaled(1e-3)),
        ("units metres: converted",),
        AFFINE,
    ),
    "microns": ({"xyzt_units": 3} | sform(scaled(1e3)) | qform(scaled(1e3)), ("units microns: converted",), AFFINE),
    "a shift in metres": (
        {"xyzt_units": 1} | sform(scaled(1e-3)) | qform(np.diag([1e-3, 1e-3, 1e-3, 1]) @ shifted(12.3)),
        ("qform and sform disagree by 12.3 mm; the sform was used", "units metres: converted"),
        AFFINE,
    ),
    "metres that are millimetres": (
        {"xyzt_units": 1},
        ("units stated as metres, impossible: taken as millimetres",),
        AFFINE,
    ),
    "NaN slope": ({"scl_slope": np.nan}, ("scale slope NaN, taken as 1",), AFFINE),
    "infinite slope": ({"scl_slope": np.inf}, ("scale slope inf, taken as 1",), AFFINE),
    "slope 0, which stands for none": ({"scl_slope": 0}, (), AFFINE),
}


@pytest.mark.parametrize("kind", TOLD)
@pytest.mark.parametrize("endianness", "<>")
def test_what_has_one_reading_is_read_and_told(kind, endianness, tmp_path):
    fields, flags, world_from_voxel = TOLD[kind]
    array = values().astype(np.int16)
    scan = read_scan(write(tmp_path / "scan.nii", array, endianness=endianness, **fields))
    assert scan.flags == flags
    np.testing.assert_array_equal(scan.voxels, array)
    np.testing.assert_allclose(scan.world_from_voxel, world_from_voxel, atol=1e-4)


NEVER_GUESSED = "It is never guessed: convert it again from its DICOM files."
UNUSABLE = f"expected an invertible affine, got a singular one. {DICOM}"
REFUSED = {
    "no meaning": (
        sform(AFFINE, 0) | qform(AFFINE, 0),
        f"expected an orientation, got sform and qform codes of 0. {NEVER_GUESSED}",
    ),
    "unknown meaning": (
        sform(AFFINE, 77) | qform(AFFINE, 0),
        f"expected an orientation, got sform and qform codes of 0 and 77. {NEVER_GUESSED}",
    ),
    "mirrored": (
        qform(MIRROR @ AFFINE),
        f"expected qform and sform to agree, got mirror images: left could be right. {DICOM}",
    ),
    "turned by 90°": (
        qform(turned(90)),
        f"expected qform and sform to agree, got 90° between them. {DICOM}",
    ),
    "upside down": (
        qform(np.diag([1.0, -1, -1, 1]) @ AFFINE),
        f"expected qform and sform to agree, got 180° between them. {DICOM}",
    ),
    "singular": (sform(SINGULAR) | qform(AFFINE, 0), UNUSABLE),
    "zero": (sform(np.zeros((4, 4))) | qform(AFFINE, 0), UNUSABLE),
    "voxels of 0": (sform(SINGULAR, 0) | qform(AFFINE, pixdim=pixdim(1, 0, 0, 0)), UNUSABLE),
    "voxels of NaN": (sform(SINGULAR, 0) | qform(AFFINE, pixdim=pixdim(1, *[np.nan] * 3)), UNUSABLE),
    "negative voxels": (sform(SINGULAR, 0) | qform(AFFINE, pixdim=pixdim(1, -2, 2, 3)), UNUSABLE),
    "handedness of -2": (sform(SINGULAR, 0) | qform(AFFINE, pixdim=pixdim(-2, 2, 2, 3)), UNUSABLE),
    "tiny voxels": (
        sform(scaled(0.005)) | qform(scaled(0.005)),
        "expected voxels of 0.2 to 8 mm, got 0.01×0.01×0.015 mm. Check the header's units.",
    ),
    "large voxels": (
        sform(scaled(10)) | qform(scaled(10)),
        "expected voxels of 0.2 to 8 mm, got 20×20×30 mm. Check the header's units.",
    ),
    "metres that are neither": (
        {"xyzt_units": 1} | sform(scaled(0.005)) | qform(scaled(0.005)),
        "expected voxels of 0.2 to 8 mm, got 10×10×15 mm. Check the header's units.",
    ),
    "negative axis": (
        {"dim": [3, 20, -24, 16, 1, 1, 1, 1]},
        "expected axes of 1 voxel or more, got shape (20, -24, 16): a damaged header. Convert it again.",
    ),
    "axis of 0": (
        {"dim": [3, 20, 0, 16, 1, 1, 1, 1]},
        "expected axes of 1 voxel or more, got shape (20, 0, 16): a damaged header. Convert it again.",
    ),
    "one axis": (
        {"dim": [1, 7680, 1, 1, 1, 1, 1, 1]},
        "expected one 3D volume, got shape (7680,). Extract one frame first, e.g. `mri_convert --frame 0`.",
    ),
    "larger than its file": (
        {"dim": [3, 256, 256, 256, 1, 1, 1, 1]},
        "expected a whole image, got one that breaks off or is damaged. Copy or download it again.",
    ),
    "larger than any head": (
        {"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]},
        "expected at most 1.1e+09 voxels, got shape (32767, 32767, 32767). Check the header, or resample it.",
    ),
    "unknown type": (
        {"datatype": 99},
        "expected a NIfTI or MGZ image, got a file of another kind or with a damaged header. Convert it to NIfTI.",
    ),
    "NaN intercept": (
        {"scl_inter": np.nan},
        "expected a NIfTI or MGZ image, got a file of another kind or with a damaged header. Convert it to NIfTI.",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_be_a_guess_is_refused(kind, tmp_path):
    fields, wording = REFUSED[kind]
    path = write(tmp_path / "sub-01_T1w.nii", **fields)
    with pytest.raises(ScanError, match=f"^{re.escape(f'{path.name}: {wording}')}$"):
        read_scan(path)


def test_an_analyze_image_is_refused_for_its_missing_orientation(tmp_path):
    nib.save(nib.AnalyzeImage(values(), AFFINE), tmp_path / "scan.img")
    with pytest.raises(ScanError, match=r"^scan.img: expected an orientation, got a plain Analyze header, which"):
        read_scan(tmp_path / "scan.img")


def test_a_pair_of_files_with_endings_in_capitals_counts_as_one_image(tmp_path):
    for ending in ("IMG", "HDR"):
        (tmp_path / f"x.{ending}").write_bytes(ending.encode())
    before = hash_input(tmp_path / "x.IMG")
    (tmp_path / "x.HDR").write_bytes(b"another")
    assert hash_input(tmp_path / "x.IMG") != before


def test_a_pair_of_files_counts_as_one_image(tmp_path):
    header, voxels = tmp_path / "scan.hdr", tmp_path / "scan.img"
    nib.save(nib.Nifti1Pair(values(), AFFINE), voxels)
    np.testing.assert_array_equal(read_scan(header).voxels, values())
    before = hash_input(header)
    assert hash_input(voxels) == before
    voxels.write_bytes(b"0" * 100)
    assert hash_input(header) != before
    with pytest.raises(ScanError, match=r"^scan.hdr: expected a whole image"):
        read_scan(header)
    voxels.unlink()
    for read in (read_scan, hash_input):
        with pytest.raises(ScanError, match=r"^scan.img: expected an image, found no such file"):
            read(header)


def test_an_mgz_image_is_read_where_it_lies_and_refused_where_it_does_not_say_so(tmp_path):
    nib.save(nib.MGHImage(values(), AFFINE), tmp_path / "scan.mgz")
    scan = read_scan(tmp_path / "scan.mgz")
    np.testing.assert_allclose(scan.world_from_voxel, AFFINE, atol=1e-5)
    np.testing.assert_array_equal(scan.voxels, values())
    assert scan.flags == ()
    nib.save(nib.MGHImage(values(), AFFINE), tmp_path / "scan.mgh")
    stored = bytearray((tmp_path / "scan.mgh").read_bytes())
    stored[28:30] = bytes(2)
    (tmp_path / "scan.mgh").write_bytes(stored)
    with pytest.raises(ScanError, match=r"^scan.mgh: expected an orientation, got a goodRASFlag of 0. It is never"):
        read_scan(tmp_path / "scan.mgh")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # nibabel leaves a bad MGH file open
@pytest.mark.parametrize("suffix", ["nii", "mgh", "nii2"])
def test_no_damage_to_a_header_is_more_than_one_line(suffix, tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / f"scan.{suffix[:3]}"
    kind = {"nii": nib.Nifti1Image, "nii2": nib.Nifti2Image, "mgh": nib.MGHImage}[suffix]
    nib.save(kind(values()[:6, :6, :6], AFFINE), path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    outcomes = set()
    for _ in range(200):
        damaged = whole.copy()
        where = rng.integers(0, 120 if suffix == "mgh" else 352, rng.integers(1, 6))
        damaged[where] = rng.integers(0, 256, len(where))
        path.write_bytes(damaged.tobytes())
        outcomes.add(message(path).rstrip("."))
    assert "" in outcomes
    assert len(outcomes) > 3
    for outcome in outcomes - {""}:
        assert re.fullmatch(rf"{path.name}: expected .+", outcome)


def message(path) -> str:
    """Return why a scan is refused, in one line, or nothing where it is read."""
    try:
        read_scan(path)
    except ScanError as error:
        return str(error)
    return ""


def test_an_analyze_image_lies_as_the_cohorts_descriptor_says(tmp_path):
    affine = ((0.0, 0.0, -1.0, 80.0), (1.0, 0.0, 0.0, -128.0), (0.0, 1.0, 0.0, -128.0), (0.0, 0.0, 0.0, 1.0))
    voxels = values()
    nib.save(nib.AnalyzeImage(voxels, AFFINE), tmp_path / "scan.img")
    nib.save(nib.Nifti1Image(voxels, np.array(affine)), tmp_path / "same.nii")
    scan, same = read_scan(tmp_path / "scan.img", analyze_affine=affine), read_scan(tmp_path / "same.nii")
    np.testing.assert_array_equal(scan.voxels, same.voxels)
    np.testing.assert_array_equal(scan.world_from_voxel, same.world_from_voxel)
    assert scan.flags == ("affine of the cohort's descriptor",)
    told = read_scan(tmp_path / "same.nii", analyze_affine=tuple(tuple(row) for row in np.eye(4).tolist()))
    np.testing.assert_array_equal(told.world_from_voxel, same.world_from_voxel)  # a header that can tell is believed
