"""The space halfway between a person's scans: none of them is the reference, so none is blurred less than another.

Registering later visits to the first would resample all but the first, and what that does to an image looks like
change (Reuter & Fischl 2011; Reuter et al. 2012). Here every scan is led to the mean of all poses and resampled once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from neurolatent.errors import ScanError
from neurolatent.shapes import Affine, VoxelArray
from neurolatent.volume.head import WORKING_MM, Head
from neurolatent.volume.register import Fit, find_head, fit_rigid, refine_rigid
from neurolatent.volume.resample import resample
from neurolatent.volume.sampling import voxel_centres_mm
from neurolatent.volume.target import template_distance_mm
from neurolatent.workspace import ScanKey

HALF_EXTENT_MM = np.array([110.0, 130.0, 120.0])
"""Of the mid-space's grid around the middle of the brain."""


@dataclass(frozen=True, eq=False)
class MidSpace:
    """A person's mean head, where the template lies in it, and where it lies in each scan."""

    head: Head
    template: Fit
    scans: Mapping[ScanKey, Fit]
    """From mid-space to the scan; the correlation is with the mean of all, 1 for a scan alone."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan's head, and its file's name for messages."""

    head: Head
    name: str


def build_midspace(scans: Mapping[ScanKey, Prepared]) -> tuple[MidSpace | None, dict[ScanKey, ScanError]]:
    """Find the mid-space of a person's scans, given in order of time, and what kept any of them out.

    The first scan in which the template is found leads the others to one another; after that all count alike.
    """
    failures: dict[ScanKey, ScanError] = {}
    lead, found, others = None, None, dict[ScanKey, Prepared]()
    for key, scan in scans.items():
        if lead is not None:
            others[key] = scan
            continue
        try:
            found = find_head(scan.head, scan.name)
            lead = key
        except ScanError as error:
            failures[key] = error
    if lead is None or found is None:
        return None, failures
    fits = {lead: Fit(np.eye(4), 1.0)}
    for key, scan in others.items():
        try:
            fits[key] = fit_rigid(scans[lead].head, found, scan.head, scan.name)
        except ScanError as error:
            failures[key] = error
    if len(fits) == 1:
        return MidSpace(scans[lead].head, found, fits), failures
    return _halfway({key: scans[key].head for key in fits}, fits, found), failures


def place_outside(space: MidSpace, scan: Prepared) -> Fit:
    """Lay the mid-space onto a scan of the person that had no part in it."""
    return fit_rigid(space.head, space.template, scan.head, scan.name)


def _halfway(heads: Mapping[ScanKey, Head], from_lead: Mapping[ScanKey, Fit], template: Fit) -> MidSpace:
    """Move from the leading scan's space to the mean of all, and lay every scan onto the mean image there."""
    matrices = {key: fit.matrix for key, fit in from_lead.items()}
    middle_mm = next(iter(heads.values())).centre_mm
    first = _mean_space(heads, matrices, template, middle_mm)
    fits = {key: refine_rigid(first.head, first.template, heads[key], fit.matrix) for key, fit in first.scans.items()}
    refined = {key: fit.matrix for key, fit in fits.items()}
    space = _mean_space(heads, refined, first.template, first.head.centre_mm)
    return replace(
        space, scans={key: replace(fit, correlation=fits[key].correlation) for key, fit in space.scans.items()}
    )


def _mean_space(
    heads: Mapping[ScanKey, Head], scan_from_old: Mapping[ScanKey, Affine], template: Fit, middle_mm: np.ndarray
) -> MidSpace:
    """Go to the space whose pose is the mean of all scans' poses about the brain's middle."""
    mid_from_old = mean_pose(list(scan_from_old.values()), middle_mm)
    old_from_mid = np.linalg.inv(mid_from_old)
    scans = {key: matrix @ old_from_mid for key, matrix in scan_from_old.items()}
    placed = Fit(mid_from_old @ template.matrix, template.correlation)
    centre_mm = mid_from_old[:3, :3] @ middle_mm + mid_from_old[:3, 3]
    head = _mean_head(heads, scans, placed, centre_mm)
    return MidSpace(head, placed, {key: Fit(matrix, 1.0) for key, matrix in scans.items()})


def mean_pose(poses: list[Affine], middle_mm: np.ndarray) -> Affine:
    """Return the mean of rigid transforms: of their rotations (Markley et al. 2007), and of where they put a point."""
    turned = Rotation.from_matrix(np.stack([pose[:3, :3] for pose in poses])).mean().as_matrix()
    placed_mm = np.mean([pose[:3, :3] @ middle_mm + pose[:3, 3] for pose in poses], axis=0)
    mean = np.eye(4)
    mean[:3, :3], mean[:3, 3] = turned, placed_mm - turned @ middle_mm
    return mean


def _mean_head(
    heads: Mapping[ScanKey, Head], scan_from_mid: Mapping[ScanKey, Affine], template: Fit, centre_mm: np.ndarray
) -> Head:
    """Average the scans in mid-space, each in units of its own brain's median; what a scan does not show, it leaves."""
    world_from_voxel = np.diag([WORKING_MM] * 3 + [1.0])
    world_from_voxel[:3, 3] = centre_mm - HALF_EXTENT_MM
    i, j, k = (int(extent) for extent in 2 * HALF_EXTENT_MM / WORKING_MM + 1)
    template_from_voxel = np.linalg.inv(template.matrix) @ world_from_voxel
    inside = template_distance_mm(voxel_centres_mm((i, j, k), template_from_voxel)).numpy() < 0
    total, seen = np.zeros((i, j, k), np.float32), np.full((i, j, k), 1e-6, np.float32)
    for key, head in heads.items():
        head_from_voxel = np.linalg.inv(head.world_from_voxel) @ scan_from_mid[key] @ world_from_voxel
        values = resample(head.voxels, head_from_voxel, (i, j, k))
        shown = resample(np.ones_like(head.voxels), head_from_voxel, (i, j, k))
        total += values / max(float(np.median(values[inside])), 1e-6)
        seen += shown
    mean: VoxelArray = (total / seen * (seen > 0.5)).astype(np.float32)
    return Head(mean, world_from_voxel, np.zeros_like(mean), centre_mm)
