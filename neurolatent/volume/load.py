"""Read a raw scan as one RAS+ volume, or say in one line why it cannot be used."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torchio as tio
from nibabel.analyze import AnalyzeHeader
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, SpatialImage
from torchio.transforms import ToCanonical

from neurolatent.errors import ScanError
from neurolatent.provenance import hash_file
from neurolatent.shapes import Affine, VoxelArray
from neurolatent.volume.resample import voxel_sizes_mm

TO_CANONICAL = ToCanonical()
MIN_VOXEL_MM, MAX_VOXEL_MM = 0.2, 8.0
FLATTEST = 1e-3
"""Of a voxel's volume over the product of its edges: below it the axes lie in a plane."""


@dataclass(frozen=True, eq=False)
class Scan:
    """One volume with axes nearest to RAS+."""

    voxels: VoxelArray
    world_from_voxel: Affine


def read_scan(path: Path) -> Scan:
    """Read, check and reorient; the messages begin with the file's name."""
    image, values = read_image(path)
    values = _three_axes(values, path.name).astype(np.float32)
    affine = _usable_affine(image, path.name)
    _check_values(values, path.name)
    canonical = TO_CANONICAL(tio.ScalarImage(tensor=values[None], affine=affine))
    world_from_voxel = np.asarray(canonical.affine, dtype=np.float64)
    return Scan(np.ascontiguousarray(canonical.numpy()[0], dtype=np.float32), world_from_voxel)


def hash_input(path: Path) -> str:
    """Return the SHA-256 of an image's file."""
    _refuse_absent(path)
    return hash_file(path)


def read_image(path: Path) -> tuple[SpatialImage, np.ndarray]:
    """Return an image's header and its values, unscaled types kept."""
    name = path.name
    _refuse_absent(path)
    try:
        image = nib.load(path)
        return image, np.asanyarray(image.dataobj)  # pyright: ignore[reportReturnType, reportAttributeAccessIssue]
    except (ImageFileError, HeaderDataError) as error:
        expected = "expected a NIfTI or MGZ image"
        msg = f"{name}: {expected}, got a file of another kind or with a damaged header. Convert it to NIfTI."
        raise ScanError(msg) from error
    except (OSError, EOFError, zlib.error, ValueError) as error:
        msg = f"{name}: expected a whole image, got one that breaks off or is damaged. Copy or download it again."
        raise ScanError(msg) from error


def _refuse_absent(path: Path) -> None:
    if not path.is_file():
        msg = f"{path.name}: expected an image, found no such file. Restore it, remove its row, or state --source."
        raise ScanError(msg)
    if path.stat().st_size == 0:
        msg = f"{path.name}: expected an image, got an empty file. Copy or download it again."
        raise ScanError(msg)


def _three_axes(values: np.ndarray, name: str) -> np.ndarray:
    shape = values.shape
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        msg = (
            f"{name}: expected one 3D volume, got shape {shape}. Extract one frame first, e.g. `mri_convert --frame 0`."
        )
        raise ScanError(msg)
    if min(values.shape) < 2:
        msg = f"{name}: expected one 3D volume, got a single slice of shape {shape}. Use the whole series."
        raise ScanError(msg)
    if values.dtype.kind not in "uif":
        msg = f"{name}: expected one number a voxel, got the type {values.dtype}. Convert it to grey values first."
        raise ScanError(msg)
    return values


def _usable_affine(image: SpatialImage, name: str) -> Affine:
    header = image.header
    header = image.header
    if isinstance(header, AnalyzeHeader) and not any(_orientation_codes(header)):
        msg = f"{name}: expected an orientation, got sform and qform codes of 0. Convert it again from its DICOM files."
        raise ScanError(msg)
    affine = np.asarray(image.affine, dtype=np.float64)
    sizes_mm = voxel_sizes_mm(affine)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) <= FLATTEST * sizes_mm.prod():
        msg = f"{name}: expected an invertible affine, got a singular one. Convert it again from its DICOM files."
        raise ScanError(msg)
    if sizes_mm.min() < MIN_VOXEL_MM or sizes_mm.max() > MAX_VOXEL_MM:
        got = "×".join(f"{size:.3g}" for size in sizes_mm)
        expected = f"expected voxels of {MIN_VOXEL_MM:g} to {MAX_VOXEL_MM:g} mm"
        msg = f"{name}: {expected}, got {got} mm. Check the header's units."
        raise ScanError(msg)
    return affine


def _orientation_codes(header: AnalyzeHeader) -> list[int]:
    """Return the two codes that say what an affine means; plain Analyze has neither."""
    return [int(header[name]) for name in ("sform_code", "qform_code") if name in header]


def _check_values(values: np.ndarray, name: str) -> None:
    unusable = int(values.size - np.isfinite(values).sum())
    if unusable:
        msg = f"{name}: expected finite intensities, got {unusable} NaN or infinite voxels. Convert it again."
        raise ScanError(msg)
    low, high = values.min(), values.max()
    if low == high:
        msg = f"{name}: expected a head, got {low:g} in every voxel. Copy or convert it again."
        raise ScanError(msg)
