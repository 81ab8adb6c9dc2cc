"""Heads made from the template, and registration put aside where it is not what is tested."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from scipy.spatial.transform import Rotation

from neurolatent.cohort.visits import Visit, write_visits
from neurolatent.volume import head, midspace, pictures, placed, subject
from neurolatent.volume.register import Fit
from neurolatent.volume.resample import resample
from neurolatent.volume.target import TARGET_MM, registration_target
from neurolatent.volume.warp import Warp
from neurolatent.workspace import Workspace

SCALE = 0.86
SHAPE, SPACING_MM = (66, 78, 80), (3.0, 3.0, 3.0)
FLUID_MM = 2.0


def rigid(angles_deg, shift_mm) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    affine[:3, 3] = shift_mm
    return affine


def pose(angles_deg=(0, 0, 0), shift_mm=(0, 0, 0)) -> np.ndarray:
    """From the template's millimetres to a head's: smaller, turned and shifted."""
    return rigid(angles_deg, shift_mm) @ np.diag([SCALE, SCALE, SCALE, 1.0])


def template_head() -> np.ndarray:
    """The template's brain in fluid, skull, scalp and some face."""
    target = registration_target()
    distance_mm = target.distance_mm
    voxels = np.where(distance_mm < 0, 0.1 + 0.9 * target.t1, 0)
    voxels[(distance_mm >= 0) & (distance_mm < FLUID_MM)] = 0.15
    voxels[(distance_mm >= 7) & (distance_mm < 13)] = 0.8
    return (1000 * voxels).astype(np.float32)


def write_head(path: Path, scan_from_template: np.ndarray, *, orientation="RAS", seed=0, scale=1.0) -> Path:
    """Write a raw scan of the template's head with noise, its axes stored in the orientation asked for."""
    target = registration_target()
    world_from_voxel = np.diag([*SPACING_MM, 1.0])
    world_from_voxel[:3, 3] = -(np.array(SHAPE) - 1) / 2 * SPACING_MM + (0, -16, 8)
    template_from_voxel = np.linalg.inv(target.world_from_voxel) @ np.linalg.inv(scan_from_template) @ world_from_voxel
    voxels = resample(template_head(), template_from_voxel, SHAPE, interpolator=sitk.sitkLinear)
    noisy = np.abs(voxels + np.random.default_rng(seed).normal(0, 15, SHAPE)) * scale
    image = nib.Nifti1Image(noisy.astype(np.float32), world_from_voxel)
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(orientation)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image.as_reoriented(turn), path)
    return path


def visit(participant: str, image: str, *, session="ses-M00", run="1", months=0.0) -> Visit:
    missing = dict.fromkeys(
        ("age_years", "age_precision_years", "sex", "diagnosis", "dx_rule", "site", "scanner_tesla", "mask_source")
    )
    return Visit(
        participant_id=participant, session_id=session, run=run, months=months, cohort="test", image=image, **missing
    )


def write_workspace(root: Path, source: Path, visits: list[Visit]) -> Workspace:
    workspace = Workspace(root)
    root.mkdir(parents=True, exist_ok=True)
    write_visits(workspace.visits_tsv, visits)
    workspace.visits_json.write_text(json.dumps({"source_root": str(source), "cohort": "test", "simulation": False}))
    return workspace


def skip_registration(replace: Callable[[object, str, object], None]) -> None:
    """Put heads that `write_head` wrote upright in their place without a search; `replace` sets an attribute."""
    replace(midspace, "find_head", lambda *_: Fit(pose(), 0.8))
    for search in ("fit_rigid", "refine_rigid"):
        replace(midspace, search, lambda *_: Fit(np.eye(4), 0.9))
    replace(subject, "fit_template", lambda _, found, **__: found)
    replace(subject, "fit_warp", lambda *_: Warp(()))
    replace(placed, "even_out", lambda given, _: given)
    replace(head, "_log_bias", lambda voxels, *_: np.zeros_like(voxels))
    replace(pictures, "PICTURE_MM", 8.0)


def intracranial_ml(*, fluid_mm: float) -> float:
    """Volume of a written head's intracranial space, with as much of its outer fluid."""
    inside = registration_target().distance_mm < fluid_mm
    return float(inside.sum()) * TARGET_MM**3 / 1000 * SCALE**3
