"""Claims about reading raw scans: what can be used comes upright, what cannot is refused in one line that helps."""

import gzip
import os
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neurolatent.errors import ScanError
from neurolatent.volume.load import read_image, read_scan
from neurolatent.volume.opening import hash_input

SHAPE = (20, 24, 16)
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
NAME = "sub-01_T1w.nii.gz"
NO_SERIES = "expected a DICOM series, found none in the folder. Copy or download it again."
COLOURS = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def values(shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 100, shape).astype(np.float32)


def save(path, array=None):
    array = values() if array is None else array
    image = nib.Nifti1Image(array, AFFINE)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def ball() -> np.ndarray:
    """A bright ball in dark air, with a dark hollow inside."""
    offsets = np.indices(SHAPE) - np.array([9.5, 11.5, 7.5])[:, None, None, None]
    distance = np.linalg.norm(offsets, axis=0)
    return np.where((distance < 6) & (distance > 2), 100, values() / 20).astype(np.float32)


def with_voxels(array, **at) -> np.ndarray:
    """Set voxels named like `nan=(0, 0, 0)`."""
    for value, index in at.items():
        array[index] = float(value)
    return array


def cut(path, *, end):
    save(path)
    path.write_bytes(path.read_bytes()[:end])


def damaged_inside(path):
    """Change a byte that only the checksum at the end gives away."""
    stored = bytearray(gzip.compress(save(path.with_suffix("")).read_bytes(), compresslevel=0))
    stored[5000] ^= 1
    path.write_bytes(stored)


def with_header_of(shape, path):
    """Write a header that claims more voxels than the file holds."""
    header = nib.Nifti1Image(np.zeros((2, 2, 2), np.float32), AFFINE).header
    header.set_data_shape(shape)
    header["vox_offset"] = 352
    path.write_bytes(gzip.compress(header.binaryblock + bytes(5000)))


def loop(path):
    path.symlink_to(path.with_suffix(".other"))
    path.with_suffix(".other").symlink_to(path)


def junk_extension(path):
    save(path)
    stored = bytearray(gzip.decompress(path.read_bytes()))
    junk = np.random.default_rng(0).integers(128, 256, 32).astype(np.uint8).tobytes()
    stored[348:352] = b"\x01\0\0\0"
    stored[108:112] = np.float32(384).tobytes()
    path.write_bytes(gzip.compress(bytes(stored[:352]) + junk + bytes(stored[352:])))


BROKEN = "expected a whole image, got one that breaks off or is damaged. Copy or download it again."
OTHER_KIND = "expected a NIfTI or MGZ image, got a file of another kind or with a damaged header. Convert it to NIfTI."
ABSENT = "expected an image, found no such file. Restore it, remove its row, or state --source."
BAD = {
    "truncated": (NAME, lambda path: cut(path, end=-2000), BROKEN),
    "cut before its checksum": (NAME, lambda path: cut(path, end=-8), BROKEN),
    "truncated, not packed": ("scan.nii", lambda path: cut(path, end=-1), BROKEN),
    "truncated in its header": ("scan.nii", lambda path: cut(path, end=200), OTHER_KIND),
    "damaged inside": (NAME, damaged_inside, BROKEN),
    "header of 256³ on a short file": (NAME, lambda path: with_header_of((256, 256, 256), path), BROKEN),
    "empty": (
        NAME,
        lambda path: path.write_bytes(b""),
        "expected an image, got an empty file. Copy or download it again.",
    ),
    "nothing packed": (NAME, lambda path: path.write_bytes(gzip.compress(b"")), OTHER_KIND),
    "absent": (NAME, lambda path: None, ABSENT),
    "a link to itself": (NAME, loop, ABSENT),
    "folder": (
        NAME,
        lambda path: path.mkdir(),
        "expected a DICOM series, found none in the folder. Copy or download it again.",
    ),
    "text": (NAME, lambda path: path.write_text("not an image at all" * 100), OTHER_KIND),
    "packed text": (NAME, lambda path: path.write_bytes(gzip.compress(b"not an image at all" * 100)), OTHER_KIND),
    "extension of junk": (NAME, junk_extension, OTHER_KIND),
    "mnc": (
        "scan.mnc",
        lambda path: path.write_bytes(b"CDF\x01" * 100),
        "expected a NIfTI or MGZ image, got the ending '.mnc'. Convert it to NIfTI.",
    ),
    "nrrd": (
        "scan.nrrd",
        lambda path: path.write_text("NRRD0004\ntype: short\n"),
        "expected a NIfTI or MGZ image, got the ending '.nrrd'. Convert it to NIfTI.",
    ),
    "packed nrrd": (
        "scan.nrrd.gz",
        lambda path: path.write_bytes(gzip.compress(b"NRRD0004")),
        "expected a NIfTI or MGZ image, got the ending '.nrrd.gz'. Convert it to NIfTI.",
    ),
    "4D": (
        NAME,
        lambda path: save(path, values((20, 24, 16, 2))),
        "expected one 3D volume, got shape (20, 24, 16, 2). Extract one frame first, e.g. `mri_convert --frame 0`.",
    ),
    "2D": (
        NAME,
        lambda path: save(path, values((20, 24))),
        "expected one 3D volume, got shape (20, 24). Extract one frame first, e.g. `mri_convert --frame 0`.",
    ),
    "slice": (
        NAME,
        lambda path: save(path, values((20, 24, 1))),
        "expected one 3D volume, got a single slice of shape (20, 24, 1). Use the whole series.",
    ),
    "colours": (
        NAME,
        lambda path: save(path, np.zeros(SHAPE, COLOURS)),
        (
            "expected one number a voxel, got the type [('R', 'u1'), ('G', 'u1'), ('B', 'u1')]. "
            "Convert it to grey values first."
        ),
    ),
    "complex": (
        NAME,
        lambda path: save(path, values().astype(np.complex64)),
        "expected one number a voxel, got the type complex64. Convert it to grey values first.",
    ),
    "zero": (
        NAME,
        lambda path: save(path, np.zeros(SHAPE, np.float32)),
        "expected a head, got 0 in every voxel. Copy or convert it again.",
    ),
    "constant": (
        NAME,
        lambda path: save(path, np.full(SHAPE, 7, np.int16)),
        "expected a head, got 7 in every voxel. Copy or convert it again.",
    ),
    "all NaN": (
        NAME,
        lambda path: save(path, np.full(SHAPE, np.nan, np.float32)),
        "expected finite intensities, got 7680 NaN or infinite voxels. Convert it again, or set those in the air to 0.",
    ),
    "many NaN in the air": (
        NAME,
        lambda path: save(path, with_voxels(ball(), nan=(0, 0, slice(8)))),
        "expected finite intensities, got 8 NaN or infinite voxels. Convert it again, or set those in the air to 0.",
    ),
    "NaN in the head": (
        NAME,
        lambda path: save(path, with_voxels(ball(), nan=(5, 11, 7))),
        "expected finite intensities, got 1 NaN or infinite voxels. Convert it again, or set those in the air to 0.",
    ),
    "NaN in a dark hollow of the head": (
        NAME,
        lambda path: save(path, with_voxels(ball(), nan=(9, 11, 7))),
        "expected finite intensities, got 1 NaN or infinite voxels. Convert it again, or set those in the air to 0.",
    ),
    "infinite in the air": (
        NAME,
        lambda path: save(path, with_voxels(ball(), inf=(0, 0, 0))),
        "expected finite intensities, got 1 NaN or infinite voxels. Convert it again, or set those in the air to 0.",
    ),
    "huge values": (
        NAME,
        lambda path: save(path, np.arange(7680.0).reshape(SHAPE) * 1e300),
        ("expected intensities within ±1e+12 that differ by 1e-06 or more, got 0 to 7.679e+303. Convert it again."),
    ),
    "tiny values": (
        NAME,
        lambda path: save(path, np.arange(7680.0).reshape(SHAPE) * 1e-12),
        "expected intensities within ±1e+12 that differ by 1e-06 or more, got 0 to 7.679e-09. Convert it again.",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_each_bad_file_is_refused_by_name_with_what_came_and_a_way_out(kind, tmp_path):
    name, make, wording = BAD[kind]
    make(tmp_path / name)
    with pytest.raises(ScanError, match=f"^{re.escape(f'{name}: {wording}')}$"):
        read_scan(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    save(tmp_path / NAME).chmod(0)
    with pytest.raises(ScanError, match=r"expected a readable image, got 'Permission denied'"):
        read_scan(tmp_path / NAME)


@pytest.mark.parametrize("read", [read_scan, read_image, hash_input])
def test_what_the_disk_refuses_is_one_line_whoever_reads(read, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    save(tmp_path / NAME)
    monkeypatch.setattr(Path, "open", refuse)
    wording = rf"^{NAME}: expected a readable image, got 'Permission denied'\. Check its permissions and the disk\.$"
    with pytest.raises(ScanError, match=wording):
        read(tmp_path / NAME)


def test_an_image_beyond_the_memory_is_refused(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    save(tmp_path / NAME)
    monkeypatch.setattr(nib.arrayproxy.ArrayProxy, "__array__", fail)
    with pytest.raises(ScanError, match=r"expected an image that fits into memory, got shape \(20, 24, 16\)"):
        read_scan(tmp_path / NAME)


def test_colours_and_complex_numbers_are_refused_in_masks_too(tmp_path):
    with pytest.raises(ScanError, match="expected one number a voxel"):
        read_image(save(tmp_path / NAME, np.zeros(SHAPE, COLOURS)))


def add(path, *, raw: bytes = b"", packed: bytes = b"") -> None:
    """Write a scan and more bytes: behind its voxels, or behind the packed stream."""
    save(path)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + raw) + packed)


def in_two_parts(path):
    stored = gzip.decompress(save(path).read_bytes())
    path.write_bytes(gzip.compress(stored[:9000]) + gzip.compress(stored[9000:]))


TOLD = {
    "nothing odd": (save, ()),
    "a fourth axis of length 1": (
        lambda path: save(path, values()[..., None]),
        ("trailing axis of length 1 dropped",),
    ),
    "three axes of length 1": (
        lambda path: save(path, values()[..., None, None, None]),
        ("trailing axis of length 1 dropped",),
    ),
    "garbage behind the stream": (
        lambda path: add(path, packed=b"garbage" * 9),
        ("bytes after the end of the compressed data ignored",),
    ),
    "zeros behind the stream, which gzip allows": (lambda path: add(path, packed=bytes(512)), ()),
    "two streams, which gzip allows": (in_two_parts, ()),
    "bytes behind the voxels": (lambda path: add(path, raw=bytes(100)), ("100 bytes after the voxels ignored",)),
}


@pytest.mark.parametrize("kind", TOLD)
def test_an_odd_file_is_read_and_told(kind, tmp_path):
    make, flags = TOLD[kind]
    make(tmp_path / NAME)
    scan = read_scan(tmp_path / NAME)
    assert scan.flags == flags
    np.testing.assert_array_equal(scan.voxels, values())


def test_a_few_nan_in_the_air_become_0_and_are_told(tmp_path):
    array = with_voxels(ball(), nan=(0, slice(2), 0))
    scan = read_scan(save(tmp_path / NAME, array))
    assert scan.flags == ("2 NaN voxels outside the head set to 0",)
    np.testing.assert_array_equal(scan.voxels, np.nan_to_num(array))


def test_negative_intensities_are_kept_and_told(tmp_path):
    scan = read_scan(save(tmp_path / NAME, values() - 50))
    assert scan.flags == (f"negative intensities down to {values().min() - 50:.4g}",)
    np.testing.assert_array_equal(scan.voxels, values() - 50)


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


@pytest.mark.parametrize("byte_order", "<>")
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "i8", "u8", "f4", "f8"])
def test_numbers_of_every_kind_and_byte_order_come_as_float32(kind, byte_order, tmp_path):
    array = values().astype(kind)
    header = nib.Nifti1Header(endianness=byte_order)
    header.set_data_dtype(array.dtype)
    nib.save(nib.Nifti1Image(array, AFFINE, header), tmp_path / "scan.nii")
    scan = read_scan(tmp_path / "scan.nii")
    assert scan.voxels.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(scan.voxels, array.astype(np.float32))


def test_a_stored_slope_is_applied(tmp_path):
    stored = np.arange(7680).reshape(SHAPE).astype(np.uint8)
    image = nib.Nifti1Image(stored, AFFINE)
    image.header.set_slope_inter(0.5, 10)
    image.header.set_data_dtype(np.uint8)
    nib.save(nib.Nifti1Image(stored * 0.5 + 10, AFFINE, image.header), tmp_path / NAME)
    np.testing.assert_array_equal(read_scan(tmp_path / NAME).voxels, stored * 0.5 + 10)
