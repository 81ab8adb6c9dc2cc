"""Open an image file: its header and its size, before any voxel is read, or say in one line why it cannot be used."""

import gzip
import os
import struct
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import NoReturn

import nibabel as nib
from nibabel.analyze import AnalyzeImage
from nibabel.freesurfer.mghformat import MGHImage
from nibabel.imageglobals import logger as nibabel_logger
from nibabel.nifti1 import Nifti1Pair
from nibabel.spatialimages import SpatialImage

from neurolatent.errors import ScanError
from neurolatent.provenance import hash_file, hash_settings

ENDINGS = (".nii", ".nii.gz", ".mgz", ".mgh", ".hdr", ".img")
PACKED = frozenset({".gz", ".mgz"})
PAIR = {".hdr": ".img", ".img": ".hdr"}
CHUNK = 2**20
TRAILER = struct.Struct("<II")


def open_image(path: Path) -> SpatialImage:
    """Return an image whose voxels are not read yet."""
    _refuse_unreadable(path)
    partner = _partner(path)
    if partner is not None:
        _refuse_unreadable(partner)
    if not path.name.lower().endswith(ENDINGS):
        ending = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
        msg = f"{path.name}: expected a NIfTI or MGZ image, got the ending {ending!r}. Convert it to NIfTI."
        raise ScanError(msg)
    error: Exception | None = None
    try:
        with without_remarks():
            image = nib.load(path)
        if isinstance(image, AnalyzeImage | MGHImage):
            return image
    except Exception as caught:  # noqa: BLE001 (nibabel meets a damaged header with almost any error)
        error = caught
    got = "got a file of another kind or with a damaged header"
    msg = f"{path.name}: expected a NIfTI or MGZ image, {got}. Convert it to NIfTI."
    raise ScanError(msg) from error


def hash_input(path: Path) -> str:
    """Return the SHA-256 of an image's file, or of what the files of a pair or of a DICOM series have."""
    if path.is_dir():
        return hash_settings(sorted(hash_file(file) for file in path.iterdir() if file.is_file()))
    _refuse_unreadable(path)
    partner = _partner(path)
    if partner is None:
        return hash_file(path)
    _refuse_unreadable(partner)
    return hash_settings(sorted([hash_file(path), hash_file(partner)]))


def check_size(image: SpatialImage, name: str) -> tuple[str, ...]:
    """Refuse a file with fewer bytes than its header claims, before any are set aside for them; tell of spare ones."""
    claimed = claimed_size(image)
    size, flags = _unpacked_size(Path(str(image.file_map["image"].filename)), name)
    if size < claimed:
        refuse_damaged(name)
    if size > claimed and isinstance(image, Nifti1Pair):
        flags += (f"{size - claimed} bytes after the voxels ignored",)
    return flags


def check_stated_size(image: SpatialImage, name: str) -> tuple[str, ...]:
    """Do the same without unpacking, where the last bytes of a packed file state the size that its header claims."""
    stated = packed_trailer(Path(str(image.file_map["image"].filename)))
    if stated is not None and stated[1] == claimed_size(image) % 2**32:
        return ()
    return check_size(image, name)


def packed_trailer(path: Path) -> tuple[int, int] | None:
    """Return checksum and size (modulo 2³²) of what was packed, as a file's last bytes state them (RFC 1952)."""
    if path.suffix.lower() not in PACKED:
        return None
    with path.open("rb") as file:
        file.seek(-min(TRAILER.size, path.stat().st_size), os.SEEK_END)
        stored = file.read(TRAILER.size)
    return TRAILER.unpack(stored) if len(stored) == TRAILER.size else None


def claimed_size(image: SpatialImage) -> int:
    """Return how many bytes the image's file must have, unpacked, to hold what the header says."""
    offset = int(image.dataobj.offset)  # pyright: ignore[reportAttributeAccessIssue]
    return offset + prod(int(length) for length in image.shape) * image.get_data_dtype().itemsize


def refuse_no_numbers(image: SpatialImage, name: str) -> None:
    """Refuse colours and complex numbers."""
    kind = image.get_data_dtype()
    if kind.kind not in "uif":
        msg = f"{name}: expected one number a voxel, got the type {kind}. Convert it to grey values first."
        raise ScanError(msg)


def refuse_damaged(name: str, error: BaseException | None = None) -> NoReturn:
    """Refuse a file that is not whole."""
    msg = f"{name}: expected a whole image, got one that breaks off or is damaged. Copy or download it again."
    raise ScanError(msg) from error


@contextmanager
def without_remarks() -> Generator[None]:
    """Keep nibabel's remarks, which name no file, off the console; what they say of the header is checked here."""
    before = nibabel_logger.disabled
    nibabel_logger.disabled = True
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        nibabel_logger.disabled = before


def _partner(path: Path) -> Path | None:
    """Return the other file of a pair, in the case of the one."""
    other = PAIR.get(path.suffix.lower())
    return path.with_suffix(other.upper() if path.suffix.isupper() else other) if other else None


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


def _unpacked_size(path: Path, name: str) -> tuple[int, tuple[str, ...]]:
    """Return a file's bytes when unpacked, its checksum verified: nibabel stops reading before it."""
    if path.suffix.lower() not in PACKED:
        return path.stat().st_size, ()
    size = 0
    try:
        with gzip.open(path) as file:
            while block := file.read1(CHUNK):
                size += len(block)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        if not str(error).startswith("Not a gzipped file"):
            refuse_damaged(name, error)
        return size, ("bytes after the end of the compressed data ignored",)
    return size, ()
