"""What a header says of its voxels: repaired where one reading alone is possible, refused where left could be right."""

from dataclasses import dataclass
from itertools import product
from math import degrees
from typing import NoReturn

import numpy as np
from nibabel.freesurfer.mghformat import MGHImage
from nibabel.nifti1 import Nifti1Header
from nibabel.spatialimages import HeaderDataError, SpatialImage
from scipy.linalg import polar

from neurolatent.cohort.sidecar import Matrix
from neurolatent.errors import ScanError
from neurolatent.shapes import Affine

MIN_VOXEL_MM, MAX_VOXEL_MM = 0.2, 8.0
MAX_VOXELS = 2**30
"""4 GiB as float32: a whole head at 0.25 mm has half as many."""
MGH_FLAG = slice(28, 30)
"""Bytes of goodRASFlag in an MGH header."""
FLATTEST = 1e-3
"""Of a voxel's volume over the product of its edges: below it the axes lie in a plane."""
MEANINGS = range(1, 6)
"""Codes that say which world an affine leads to: scanner, aligned, Talairach, MNI, other template."""
MM_PER_UNIT = {1: ("metres", 1000.0), 2: ("millimetres", 1.0), 3: ("microns", 0.001)}
TOLD_MM, TOLD_VOLUME_RATIO = 0.5, 1.02
LARGEST_TURN_DEG = 45.0
"""Between qform and sform: beyond it they name the axes differently."""


@dataclass(frozen=True, eq=False)
class Placement:
    """Where voxels lie, and what was odd in how the header says so."""

    world_from_voxel: Affine
    flags: tuple[str, ...]


def three_axes(image: SpatialImage, name: str) -> tuple[int, int, int]:
    """Return a volume's shape without trailing axes of length 1; refuse what is not one volume of grey values."""
    shape = tuple(int(length) for length in image.shape)
    kept = list(shape)
    while len(kept) > 3 and kept[-1] == 1:
        kept.pop()
    if min(shape, default=0) < 1:
        msg = f"{name}: expected axes of 1 voxel or more, got shape {shape}: a damaged header. Convert it again."
        raise ScanError(msg)
    if len(kept) != 3:
        msg = (
            f"{name}: expected one 3D volume, got shape {shape}. Extract one frame first, e.g. `mri_convert --frame 0`."
        )
        raise ScanError(msg)
    i, j, k = kept
    if min(i, j, k) < 2:
        msg = f"{name}: expected one 3D volume, got a single slice of shape {shape}. Use the whole series."
        raise ScanError(msg)
    if i * j * k > MAX_VOXELS:
        msg = f"{name}: expected at most {MAX_VOXELS:.2g} voxels, got shape {shape}. Check the header, or resample it."
        raise ScanError(msg)
    return i, j, k


def place(image: SpatialImage, name: str, *, analyze_affine: Matrix | None = None) -> Placement:
    """Return the affine of an image in millimetres; of an Analyze image that which is given.

    Raises:
        ScanError: If the header does not say which side is left, or says it in two ways.
    """
    if analyze_affine is not None and not isinstance(image, MGHImage) and not _is_nifti(image):
        affine, flags = np.asarray(analyze_affine, dtype=np.float64), ["affine of the cohort's descriptor"]
    else:
        affine, flags = _mgh_affine(image, name) if isinstance(image, MGHImage) else _nifti_affine(image, name)
    if not _has_sensible_voxels(affine):
        got = "×".join(f"{size:.3g}" for size in voxel_sizes_mm(affine))
        expected = f"expected voxels of {MIN_VOXEL_MM:g} to {MAX_VOXEL_MM:g} mm"
        msg = f"{name}: {expected}, got {got} mm. Check the header's units."
        raise ScanError(msg)
    return Placement(affine, tuple(flags))


def voxel_sizes_mm(world_from_voxel: Affine) -> np.ndarray:
    """Return the three edge lengths of a voxel."""
    return np.linalg.norm(world_from_voxel[:3, :3], axis=0)


def _is_nifti(image: SpatialImage) -> bool:
    return issubclass(type(image.header), Nifti1Header)


def _stored_header(image: SpatialImage, name: str) -> Nifti1Header:
    """Return a NIfTI header as it lies on disk: nibabel silently repairs its own copy."""
    kind = type(image.header)
    if not issubclass(kind, Nifti1Header):
        _refuse_unoriented(name, "a plain Analyze header, which states none")
    holder = image.file_map.get("header", image.file_map["image"])
    with holder.get_prepare_fileobj("rb") as file:
        block = file.read(kind.template_dtype.itemsize)
    return kind(block, image.header.endianness, check=False)  # pyright: ignore[reportAttributeAccessIssue]


def _mgh_affine(image: MGHImage, name: str) -> tuple[Affine, list[str]]:
    """Return an MGH image's affine; where the file states none, nibabel would put in a coronal one."""
    with image.file_map["image"].get_prepare_fileobj("rb") as file:
        stored = file.read(MGH_FLAG.stop)[MGH_FLAG]
    if not any(stored):
        _refuse_unoriented(name, "a goodRASFlag of 0")
    affine = np.asarray(image.affine, dtype=np.float64)
    if not _is_usable(affine):
        _refuse_singular(name)
    return affine, []


def _nifti_affine(image: SpatialImage, name: str) -> tuple[Affine, list[str]]:
    """Return the sform where it is stated and usable, else the qform."""
    header = _stored_header(image, name)
    usable, flags = _usable_affines(header, name)
    chosen = next(iter(usable))
    to_mm, unit_flags = _millimetres(usable[chosen], header)
    in_mm = {which: to_mm @ affine for which, affine in usable.items()}
    if len(in_mm) == 2:
        flags += _disagreement(in_mm["sform"], in_mm["qform"], image.shape, name)
    return in_mm[chosen], flags + unit_flags + _scaling_flags(header)


def _usable_affines(header: Nifti1Header, name: str) -> tuple[dict[str, Affine], list[str]]:
    """Return what can be used of the stated sform and qform, in this order."""
    read = {"sform": _sform, "qform": _qform}
    stated = {which: read[which](header) for which in read if int(header[f"{which}_code"]) in MEANINGS}
    if not stated:
        codes = sorted({int(header[f"{which}_code"]) for which in read})
        _refuse_unoriented(name, f"sform and qform codes of {' and '.join(map(str, codes))}")
    usable = {which: affine for which, affine in stated.items() if _is_usable(affine)}
    if not usable:
        _refuse_singular(name)
    return usable, [f"{which} unusable, the {next(iter(usable))} was used" for which in stated if which not in usable]


def _sform(header: Nifti1Header) -> Affine:
    return np.asarray(header.get_sform(), dtype=np.float64)


def _qform(header: Nifti1Header) -> Affine:
    """Return the quaternion's affine, or NaN where it has none: handedness in pixdim[0] must be 1, -1 or a plain 0."""
    header = header.copy()
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1
    try:
        with np.errstate(all="ignore"):
            return np.asarray(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError):
        return np.full((4, 4), np.nan)


def _is_usable(affine: Affine) -> bool:
    with np.errstate(all="ignore"):
        volume = abs(np.linalg.det(affine[:3, :3]))
        return bool(np.isfinite(affine).all() and volume > FLATTEST * voxel_sizes_mm(affine).prod())


def _has_sensible_voxels(affine: Affine) -> bool:
    sizes_mm = voxel_sizes_mm(affine)
    return bool(sizes_mm.min() >= MIN_VOXEL_MM and sizes_mm.max() <= MAX_VOXEL_MM)


def _disagreement(sform: Affine, qform: Affine, shape: tuple[int, ...], name: str) -> list[str]:
    """Tell how far apart two affines put a voxel; refuse two that name the axes differently."""
    ratio = float(np.linalg.det(sform[:3, :3]) / np.linalg.det(qform[:3, :3]))
    if ratio < 0:
        got = "got mirror images: left could be right"
        msg = f"{name}: expected qform and sform to agree, {got}. Convert it again from its DICOM files."
        raise ScanError(msg)
    turn = polar(sform[:3, :3])[0] @ polar(qform[:3, :3])[0].T
    angle_deg = degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    if angle_deg > LARGEST_TURN_DEG:
        got = f"got {angle_deg:.0f}° between them"
        msg = f"{name}: expected qform and sform to agree, {got}. Convert it again from its DICOM files."
        raise ScanError(msg)
    corners = np.array(list(product(*((0, length - 1) for length in shape[:3]))))
    apart = corners @ (sform - qform)[:3, :3].T + (sform - qform)[:3, 3]
    apart_mm = float(np.linalg.norm(apart, axis=1).max())
    if max(ratio, 1 / ratio) > TOLD_VOLUME_RATIO:
        return [f"the sform's voxels have {ratio:.2f} times the qform's volume; the sform was used"]
    return [f"qform and sform disagree by {apart_mm:.1f} mm; the sform was used"] if apart_mm > TOLD_MM else []


def _millimetres(affine: Affine, header: Nifti1Header) -> tuple[Affine, list[str]]:
    """Return what leads to millimetres; metres and microns are converted unless only millimetres make a head."""
    code = int(header["xyzt_units"]) % 8
    if code not in MM_PER_UNIT:
        return np.eye(4), ["units not stated, taken as millimetres"]
    unit, factor = MM_PER_UNIT[code]
    to_mm = np.diag([factor, factor, factor, 1.0])
    if factor == 1.0:
        return to_mm, []
    if _has_sensible_voxels(affine) and not _has_sensible_voxels(to_mm @ affine):
        return np.eye(4), [f"units stated as {unit}, impossible: taken as millimetres"]
    return to_mm, [f"units {unit}: converted"]


def _scaling_flags(header: Nifti1Header) -> list[str]:
    """Tell of a scale slope that nibabel passes over; 0 stands for none by the standard."""
    slope = float(header["scl_slope"])
    return [] if np.isfinite(slope) else [f"scale slope {str(slope).replace('nan', 'NaN')}, taken as 1"]


def _refuse_unoriented(name: str, got: str) -> NoReturn:
    msg = f"{name}: expected an orientation, got {got}. It is never guessed: convert it again from its DICOM files."
    raise ScanError(msg)


def _refuse_singular(name: str) -> NoReturn:
    msg = f"{name}: expected an invertible affine, got a singular one. Convert it again from its DICOM files."
    raise ScanError(msg)
