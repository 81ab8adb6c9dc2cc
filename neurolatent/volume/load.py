"""Read a raw scan as one RAS+ volume, or say in one line why it cannot be used."""

import gzip
import struct
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NoReturn

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
import torchio as tio
from nibabel.analyze import AnalyzeImage
from nibabel.freesurfer.mghformat import MGHImage
from nibabel.imageglobals import logger as nibabel_logger
from nibabel.nifti1 import Nifti1Pair
from nibabel.spatialimages import SpatialImage
from scipy.ndimage import binary_dilation, binary_fill_holes
from torchio.transforms import ToCanonical

from neurolatent.errors import ScanError
from neurolatent.provenance import hash_file, hash_settings
from neurolatent.shapes import Affine, MaskArray, VoxelArray
from neurolatent.volume.dicom import read_series, series_files
from neurolatent.volume.header import place, three_axes
from neurolatent.volume.resample import to_array, to_image

TO_CANONICAL = ToCanonical()
ENDINGS = (".nii", ".nii.gz", ".mgz", ".mgh", ".hdr", ".img")
PAIR = {".hdr": ".img", ".img": ".hdr"}
CHUNK = 2**20
SMALLEST_RANGE, LARGEST = 1e-6, 1e12
"""Of intensities: beyond them single precision no longer holds a head's squares."""
MAX_MISSING_SHARE, RIM_VOXELS = 1e-3, 3


@dataclass(frozen=True, eq=False)
class Scan:
    """One volume with axes nearest to RAS+."""

    voxels: VoxelArray
    world_from_voxel: Affine
    flags: tuple[str, ...] = ()
    """What was odd about the file and how it was taken, in words for people."""


def read_scan(path: Path) -> Scan:
    """Read, check and reorient a file or the folder of a DICOM series; the messages begin with its name."""
    if path.is_dir():
        return _read_dicom(path)
    image = _open(path)
    shape = three_axes(image, path.name)
    placement = place(image, path.name)
    file_flags = _check_size(image, path.name)
    voxels, value_flags = _intensities(_values(image, path.name).reshape(shape), path.name)
    shape_flags = ("trailing axis of length 1 dropped",) if len(image.shape) > 3 else ()
    return _turned(voxels, placement.world_from_voxel, placement.flags + shape_flags + file_flags + value_flags)


def _read_dicom(folder: Path) -> Scan:
    values, world_from_voxel = read_series(folder)
    voxels, flags = _intensities(values, folder.name)
    return _turned(voxels, world_from_voxel, ("read from a DICOM series", *flags))


def _turned(voxels: VoxelArray, world_from_voxel: Affine, flags: tuple[str, ...]) -> Scan:
    """Order the axes as near to RAS+ as they come."""
    canonical = TO_CANONICAL(tio.ScalarImage(tensor=voxels[None], affine=world_from_voxel))
    turned = np.ascontiguousarray(canonical.numpy()[0], dtype=np.float32)
    return Scan(turned, np.asarray(canonical.affine, dtype=np.float64), flags=flags)


def hash_input(path: Path) -> str:
    """Return the SHA-256 of an image's file, or of what the files of a pair or a DICOM series have."""
    if path.is_dir():
        return hash_settings(sorted(hash_file(file) for file in series_files(path)))
    _refuse_unreadable(path)
    if path.suffix not in PAIR:
        return hash_file(path)
    other = path.with_suffix(PAIR[path.suffix])
    _refuse_unreadable(other)
    return hash_settings(sorted([hash_file(path), hash_file(other)]))


def read_image(path: Path) -> tuple[SpatialImage, np.ndarray]:
    """Return an image's header and its values, unscaled types kept."""
    image = _open(path)
    _check_size(image, path.name)
    return image, _values(image, path.name)


def _refuse_unreadable(path: Path) -> None:
    try:
        if path.is_dir():
            msg = f"{path.name}: expected an image, got a folder. Name the image inside it."
            raise ScanError(msg)
        if not path.is_file():
            msg = f"{path.name}: expected an image, found no such file. Restore it, remove its row, or state --source."
            raise ScanError(msg)
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        msg = f"{path.name}: expected a readable image, got {error.strerror!r}. Check its permissions and the disk."
        raise ScanError(msg) from error
    if empty:
        msg = f"{path.name}: expected an image, got an empty file. Copy or download it again."
        raise ScanError(msg)


def _open(path: Path) -> SpatialImage:
    """Return an image whose voxels are not read yet."""
    _refuse_unreadable(path)
    if path.suffix in PAIR:
        _refuse_unreadable(path.with_suffix(PAIR[path.suffix]))
    if not path.name.lower().endswith(ENDINGS):
        ending = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
        msg = f"{path.name}: expected a NIfTI or MGZ image, got the ending {ending!r}. Convert it to NIfTI."
        raise ScanError(msg)
    error: Exception | None = None
    try:
        with _without_remarks():
            image = nib.load(path)
        if isinstance(image, AnalyzeImage | MGHImage):
            return image
    except Exception as caught:  # noqa: BLE001 (nibabel meets a damaged header with almost any error)
        error = caught
    got = "got a file of another kind or with a damaged header"
    msg = f"{path.name}: expected a NIfTI or MGZ image, {got}. Convert it to NIfTI."
    raise ScanError(msg) from error


@contextmanager
def _without_remarks() -> Generator[None]:
    """Keep nibabel's remarks, which name no file, off the console; what they say of the header is checked here."""
    before = nibabel_logger.disabled
    nibabel_logger.disabled = True
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        nibabel_logger.disabled = before


def _check_size(image: SpatialImage, name: str) -> tuple[str, ...]:
    """Refuse a file with fewer bytes than its header claims, before any are set aside for them; tell of spare ones."""
    offset = int(image.dataobj.offset)  # pyright: ignore[reportAttributeAccessIssue]
    claimed = offset + prod(int(length) for length in image.shape) * image.get_data_dtype().itemsize
    size, flags = _unpacked_size(Path(str(image.file_map["image"].filename)), name)
    if size < claimed:
        _refuse_damaged(name)
    if size > claimed and isinstance(image, Nifti1Pair):
        flags += (f"{size - claimed} bytes after the voxels ignored",)
    return flags


def _unpacked_size(path: Path, name: str) -> tuple[int, tuple[str, ...]]:
    """Return a file's bytes when unpacked, its checksum verified: nibabel stops reading before it."""
    if path.suffix.lower() not in {".gz", ".mgz"}:
        return path.stat().st_size, ()
    size = 0
    try:
        with gzip.open(path) as file:
            while block := file.read1(CHUNK):
                size += len(block)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        if not str(error).startswith("Not a gzipped file"):
            _refuse_damaged(name, error)
        return size, ("bytes after the end of the compressed data ignored",)
    return size, ()


def _values(image: SpatialImage, name: str) -> np.ndarray:
    kind = image.get_data_dtype()
    if kind.kind not in "uif":
        msg = f"{name}: expected one number a voxel, got the type {kind}. Convert it to grey values first."
        raise ScanError(msg)
    try:
        return np.asanyarray(image.dataobj)
    except MemoryError as error:
        shape = tuple(int(length) for length in image.shape)
        msg = f"{name}: expected an image that fits into memory, got shape {shape}. Resample it, or free memory."
        raise ScanError(msg) from error
    except (OSError, EOFError, zlib.error, ValueError) as error:
        _refuse_damaged(name, error)


def _refuse_damaged(name: str, error: BaseException | None = None) -> NoReturn:
    msg = f"{name}: expected a whole image, got one that breaks off or is damaged. Copy or download it again."
    raise ScanError(msg) from error


def _intensities(values: np.ndarray, name: str) -> tuple[VoxelArray, tuple[str, ...]]:
    """Check and return the values in single precision; T1w intensities have no unit, so that a sign is only told."""
    values, flags = _without_missing(values, name)
    low, high = float(values.min()), float(values.max())
    if low == high:
        msg = f"{name}: expected a head, got {low:g} in every voxel. Copy or convert it again."
        raise ScanError(msg)
    if max(-low, high) > LARGEST or high - low < SMALLEST_RANGE:
        expected = f"expected intensities within ±{LARGEST:.0e} that differ by {SMALLEST_RANGE:.0e} or more"
        msg = f"{name}: {expected}, got {low:g} to {high:g}. Convert it again."
        raise ScanError(msg)
    if low < 0:
        flags += (f"negative intensities down to {low:.4g}",)
    return np.asarray(values, dtype=np.float32), flags


def _without_missing(values: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Set a handful of NaN in the air around the head to 0; inside, nobody can know what was there."""
    unusable = ~np.isfinite(values)
    count = int(unusable.sum())
    if not count:
        return values, ()
    few = count <= MAX_MISSING_SHARE * values.size and not np.isinf(values).any()
    filled = np.where(unusable, 0, values)
    if not few or (unusable & _head(filled)).any():
        way_out = "Convert it again, or set those in the air to 0."
        msg = f"{name}: expected finite intensities, got {count} NaN or infinite voxels. {way_out}"
        raise ScanError(msg)
    return filled, (f"{count} NaN voxels outside the head set to 0",)


def _head(values: np.ndarray) -> MaskArray:
    """Return the largest piece above Otsu's threshold with a rim, and all that it encloses."""
    bounded = np.clip(values, -LARGEST, LARGEST).astype(np.float32)
    pieces = sitk.ConnectedComponent(sitk.OtsuThreshold(to_image(bounded), 0, 1))
    largest = to_array(sitk.RelabelComponent(pieces)) == 1
    return np.asarray(binary_fill_holes(binary_dilation(largest, iterations=RIM_VOXELS)), dtype=bool)
