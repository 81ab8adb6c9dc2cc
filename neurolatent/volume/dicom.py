"""Read a folder with one DICOM series as a volume; of several nobody knows which is meant: refused."""

import locale
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from neurolatent.cohort.visits import dicom_slices
from neurolatent.errors import ScanError
from neurolatent.shapes import Affine
from neurolatent.volume.resample import to_array

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM counts towards left and back, NIfTI towards right and front."""
UNEVEN = 0.1
"""Of the usual step between slices: positions are rounded, a missing slice doubles a step."""


def series_files(folder: Path) -> list[Path]:
    """Return the files of a folder's one series, in the order of their slices; each file must be one of them."""
    reader = sitk.ImageSeriesReader()
    sitk.ProcessObject.GlobalWarningDisplayOff()  # remarks that name no file; what counts is checked here
    with _own_locale():
        names = reader.GetGDCMSeriesIDs(str(folder))
        found = {name: [Path(file) for file in reader.GetGDCMSeriesFileNames(str(folder), name)] for name in names}
    if not found:
        msg = f"{folder.name}: expected a DICOM series, found none in the folder. Copy or download it again."
        raise ScanError(msg)
    if len(found) > 1:
        listed = "; ".join(f"{name} ({len(files)} files)" for name, files in sorted(found.items()))
        msg = f"{folder.name}: expected one DICOM series, got {len(found)}: {listed}. Give each a folder of its own."
        raise ScanError(msg)
    files = next(iter(found.values()))
    lost = dicom_slices(folder) - set(files)
    if lost:
        listed = ", ".join(sorted(path.name for path in lost)[:3])
        msg = f"{folder.name}: expected DICOM slices only, got {len(lost)} that cannot be read ({listed}). Copy again."
        raise ScanError(msg)
    return files


def read_series(folder: Path) -> tuple[np.ndarray, Affine]:
    """Return the voxels of a folder's one series along the image's own axes, and world (RAS+) from voxel in mm."""
    files = series_files(folder)
    try:
        with _own_locale():
            image = sitk.ReadImage([str(file) for file in files])
            places = np.array([_position_mm(file) for file in files])
    except RuntimeError as error:
        msg = f"{folder.name}: expected a whole DICOM series, got files that do not fit together. Download it again."
        raise ScanError(msg) from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        got = f"{image.GetDimension()} axes and {image.GetNumberOfComponentsPerPixel()} values a voxel"
        msg = f"{folder.name}: expected one 3D volume of grey values, got {got}. Convert it to NIfTI first."
        raise ScanError(msg)
    _refuse_gaps(folder, np.linalg.norm(np.diff(places, axis=0), axis=1))
    return to_array(image), _affine(image)


@contextmanager
def _own_locale() -> Generator[None]:
    """Keep the process's locale: GDCM sets it to C for good, and with it how files are read everywhere else."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


def _affine(image: sitk.Image) -> Affine:
    lps_from_voxel = np.eye(4)
    lps_from_voxel[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    lps_from_voxel[:3, 3] = image.GetOrigin()
    return RAS_FROM_LPS @ lps_from_voxel


def _refuse_gaps(folder: Path, steps_mm: np.ndarray) -> None:
    """Refuse a series that lacks a slice or has one twice: the reader would squeeze the head."""
    usual = float(np.median(steps_mm)) if len(steps_mm) else 0.0
    if len(steps_mm) and (usual <= 0 or np.abs(steps_mm - usual).max() > UNEVEN * usual):
        got = f"got steps of {steps_mm.min():.3g} to {steps_mm.max():.3g} mm between slices"
        msg = f"{folder.name}: expected evenly spaced slices, {got}. A slice may be missing: download it again."
        raise ScanError(msg)


def _position_mm(file: Path) -> tuple[float, ...]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    reader.ReadImageInformation()
    return reader.GetOrigin()
