"""Claims about images that are no usable head: the whole chain says why in one line and never takes them for one."""

import csv
import re
from pathlib import Path

import heads
import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from neurolatent.errors import ScanError
from neurolatent.volume.given import read_given
from neurolatent.volume.preprocess import preprocess
from neurolatent.volume.quality import template_mask
from neurolatent.volume.space import Grid, given_mask_path

PERSON, NAME = "sub-01", "sub-01_T1w.nii.gz"


def from_middle_mm() -> np.ndarray:
    """Distance of every voxel of a written head's grid from its middle."""
    offsets = np.indices(heads.SHAPE) - (np.array(heads.SHAPE)[:, None, None, None] - 1) / 2
    return np.linalg.norm(offsets * np.array(heads.SPACING_MM)[:, None, None, None], axis=0)


def noise() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1000, heads.SHAPE)


def blobs() -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=heads.SHAPE), 5)
    return 1000 * np.clip(smooth / smooth.std(), 0, None)


def sphere() -> np.ndarray:
    return np.where(from_middle_mm() < 85, 800, 0) + np.random.default_rng(0).uniform(0, 30, heads.SHAPE)


def save(path, voxels) -> None:
    affine = np.diag([*heads.SPACING_MM, 1.0])
    affine[:3, 3] = -(np.array(heads.SHAPE) - 1) / 2 * heads.SPACING_MM
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), affine), path)


def cut_off(path, *, at_mm) -> None:
    """Leave what lies below a height above the middle of the head; the top of its brain is at 67 mm."""
    image = nib.load(heads.write_head(path, heads.pose()))
    bottom_mm = image.affine[2, 3]
    kept = int((at_mm - bottom_mm) / heads.SPACING_MM[2])
    save_as = nib.Nifti1Image(np.asarray(image.dataobj)[:, :, :kept], image.affine)
    nib.save(save_as, path)


def upside_down(path) -> None:
    heads.write_head(path, heads.pose((180, 0, 0)))


BAD = {
    "uniform noise": lambda path: save(path, noise()),
    "random blobs": lambda path: save(path, blobs()),
    "sphere": lambda path: save(path, sphere()),
    "cut off at the middle of the brain": lambda path: cut_off(path, at_mm=-8),
    "cut off 45 mm below the top of the brain": lambda path: cut_off(path, at_mm=22),
    "upside down": upside_down,
}
REASONS = (
    r"expected (a correlation with the template of at least|a head of .* times the template's volume"
    r"|a head of at least .* mL|a head that can be registered|at least .*% of the brain in the field of view)"
    r".*, (got|found) .*\. (Check|Look|Use) .*\."
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_whole_upright_head_fails_with_a_reason(kind, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    BAD[kind](source / NAME)
    workspace = heads.write_workspace(tmp_path / "out", source, [heads.visit(PERSON, NAME)])
    result = preprocess(workspace, spacing_mm=8.0)
    with workspace.quality_tsv.open() as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    assert row["status"] == "failed", row
    assert re.fullmatch(REASONS, row["reason"])
    ((_, message),) = result.failures
    assert message == f"{NAME}: {row['reason']}"
    assert not list(workspace.derivatives.rglob("*.nii.gz"))


GRID = Grid(8.0)
GIVEN = "sub-01_space-MNI152NLin2009aSym_desc-preproc_T1w.nii.gz"
MASK = given_mask_path(Path(GIVEN)).name
COLOURS = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
BAD_GIVEN = {
    "empty mask": (
        {MASK: np.zeros(GRID.shape, np.uint8)},
        f"{MASK}: expected a mask with voxels inside, got an empty one. Write it again.",
    ),
    "mask of NaN": (
        {MASK: np.full(GRID.shape, np.nan, np.float32)},
        f"{MASK}: expected a mask with voxels inside, got an empty one. Write it again.",
    ),
    "mask in colours": (
        {MASK: np.zeros(GRID.shape, COLOURS)},
        f"{MASK}: expected one number a voxel, got the type {COLOURS}. Convert it to grey values first.",
    ),
    "complex volume": (
        {GIVEN: np.ones(GRID.shape, np.complex64)},
        f"{GIVEN}: expected one number a voxel, got the type complex64. Convert it to grey values first.",
    ),
}


@pytest.mark.parametrize("kind", BAD_GIVEN)
def test_a_bad_standard_space_scan_or_mask_is_refused(kind, tmp_path):
    spoilt, wording = BAD_GIVEN[kind]
    good = {GIVEN: template_mask(GRID) * np.float32(0.5), MASK: template_mask(GRID).astype(np.uint8)}
    for name, array in (good | spoilt).items():
        nib.save(nib.Nifti1Image(array, GRID.world_from_voxel), tmp_path / name)
    with pytest.raises(ScanError, match=f"^{re.escape(wording)}$"):
        read_given(tmp_path / GIVEN, GRID)
