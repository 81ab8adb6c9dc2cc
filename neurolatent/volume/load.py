"""Read a raw scan as one RAS+ volume, or say in one line why it cannot be used."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
import torchio as tio
from nibabel.spatialimages import SpatialImage
from scipy.ndimage import binary_dilation, binary_fill_holes
from torchio.transforms import ToCanonical

from neurolatent.cohort.sidecar import Matrix
from neurolatent.errors import ScanError
from neurolatent.shapes import Affine, MaskArray, VoxelArray
from neurolatent.volume.dicom import read_series
from neurolatent.volume.header import place, three_axes
from neurolatent.volume.opening import check_size, open_image, refuse_damaged, refuse_no_numbers
from neurolatent.volume.resample import to_array, to_image

TO_CANONICAL = ToCanonical()
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


def read_scan(path: Path, *, analyze_affine: Matrix | None = None) -> Scan:
    """Read, check and reorient a file or the folder of a DICOM series; the messages begin with its name.

    Args:
        path: NIfTI, MGZ or Analyze, or a folder.
        analyze_affine: World from voxel in mm, for an Analyze image, whose header cannot tell.
    """
    if path.is_dir():
        return _read_dicom(path)
    image = open_image(path)
    shape = three_axes(image, path.name)
    placement = place(image, path.name, analyze_affine=analyze_affine)
    file_flags = check_size(image, path.name)
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


def read_image(path: Path) -> tuple[SpatialImage, np.ndarray]:
    """Return an image's header and its values, unscaled types kept."""
    image = open_image(path)
    check_size(image, path.name)
    return image, _values(image, path.name)


def _values(image: SpatialImage, name: str) -> np.ndarray:
    refuse_no_numbers(image, name)
    try:
        return np.asanyarray(image.dataobj)
    except MemoryError as error:
        shape = tuple(int(length) for length in image.shape)
        msg = f"{name}: expected an image that fits into memory, got shape {shape}. Resample it, or free memory."
        raise ScanError(msg) from error
    except (OSError, EOFError, zlib.error, ValueError) as error:
        refuse_damaged(name, error)


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
