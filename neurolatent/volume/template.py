"""The MNI152 (2009a, symmetric) maps, found in nilearn's installed files without importing nilearn."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import nibabel as nib
import numpy as np

from neurolatent.errors import SettingsError
from neurolatent.shapes import Affine, VoxelArray

DATA_FOLDER = "nilearn/datasets/data"
FILE_PATTERN = "mni_icbm152_{map}_tal_nlin_sym_09a_converted.nii.gz"
MAX_STORED = 255.0


@dataclass(frozen=True, eq=False)
class TemplateMaps:
    """T1 and the probabilities of grey and white matter, in [0, 1] on one 1 mm RAS+ grid; 0 outside the brain.

    The field of view is cut at z = −72 mm, through the cerebellum.
    """

    t1: VoxelArray
    grey: VoxelArray
    white: VoxelArray
    world_from_voxel: Affine


def template_maps(folder: Path | None = None) -> TemplateMaps:
    """Return the template's maps; `folder` holds the three files where nilearn is not installed."""
    return _read_maps(folder if folder is not None else _installed_folder())


@cache
def _read_maps(folder: Path) -> TemplateMaps:
    t1, affine = _read_map(folder, "t1")
    grey, _ = _read_map(folder, "gm")
    white, _ = _read_map(folder, "wm")
    return TemplateMaps(t1, grey, white, affine)


def _installed_folder() -> Path:
    try:
        return Path(str(distribution("nilearn").locate_file(DATA_FOLDER)))
    except PackageNotFoundError:
        msg = "The MNI template ships with nilearn, which is not installed. Install it, or state the folder."
        raise SettingsError(msg) from None


def _read_map(folder: Path, name: str) -> tuple[VoxelArray, Affine]:
    path = folder / FILE_PATTERN.format(map=name)
    if not path.is_file():
        msg = f"{path.name}: expected this MNI template file in {folder}, found none. Reinstall nilearn."
        raise SettingsError(msg)
    image = nib.Nifti1Image.from_filename(path)
    values = np.asarray(image.dataobj, dtype=np.float32) / np.float32(MAX_STORED)
    values.flags.writeable = False
    return values, np.asarray(image.affine, dtype=np.float64)
