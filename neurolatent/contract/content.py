"""What an image's voxels tell: a head or none, whole or stripped, raw or normalised before, a copy or not."""

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from neurolatent.cohort.sidecar import Matrix
from neurolatent.contract.headers import HeaderCheck
from neurolatent.contract.remark import Remark, Severity, from_error, scan_place
from neurolatent.errors import ScanError
from neurolatent.shapes import Affine, VoxelArray
from neurolatent.volume.space import Grid
from neurolatent.volume.spread import spread
from neurolatent.workspace import ScanKey

State = Literal["whole", "skull-stripped"]
Z_TOLERANCE = 0.05
"""Of mean and SD: as far as rounding and a mask that differs a little take a z-score from 0 and 1."""
FEWEST_LEVELS = 32
"""Fewer different values than a five-bit image has are labels, or the rest of a scan."""
SAMPLED_VOXELS = 2**20
CLEAN_SHARE, CLEAN_RANGE = 0.9, 1e-3
"""Of a stripped scan's outermost voxels this many have one value, to this much of the largest."""
LARGEST_BRAIN_ML = 2200.0
"""An intracranial space with its meninges; the smallest whole adult head has more."""
NEGATIVE = "negative intensities"


@dataclass(frozen=True)
class ContentTask:
    """One scan whose voxels are to be read."""

    key: ScanKey
    path: Path
    image: str
    """The file's name as the table has it."""
    flags: tuple[str, ...]
    """What the header told already."""
    grid: Grid | None
    """Of a scan that came in standard space."""
    analyze_affine: Matrix | None = None


@dataclass(frozen=True)
class ContentCheck:
    """What was found in the voxels."""

    key: ScanKey
    remarks: tuple[Remark, ...] = ()
    voxels_hash: str | None = None
    """Equal for equal voxels, whatever their type, their compression and the order of their axes."""
    state: State | None = None


def look_at_contents(checks: Sequence[HeaderCheck], *, jobs: int) -> Generator[ContentCheck]:
    """Read every scan whose header can be believed, as they finish."""
    tasks = [
        ContentTask(check.task.key, check.path, check.task.name, check.flags, check.grid, check.task.analyze_affine)
        for check in checks
        if check.usable and check.path is not None
    ]
    yield from spread(look_at_content, tasks, lost=_lost, jobs=jobs)


def look_at_content(task: ContentTask) -> ContentCheck:
    """Read one scan as preprocessing would, and judge what came."""
    try:
        return _given(task, task.grid) if task.grid else _raw(task)
    except ScanError as error:
        return ContentCheck(task.key, (from_error(error, "content", task.key, image=task.image),))


def normalised_before(voxels: VoxelArray) -> str | None:
    """Say what intensities look like that a program has already brought to a common scale."""
    low, high = float(voxels.min()), float(voxels.max())
    if low >= 0 and high <= 1:
        return f"values from {low:.3g} to {high:.3g}, as after scaling to [0, 1]"
    if low < 0 and low >= -1 and high <= 1:
        return f"values from {low:.3g} to {high:.3g}, as after scaling to [-1, 1]"
    inside = voxels[np.abs(voxels - _surrounding(voxels)[0]) > 0] if low < 0 else voxels
    for part, where in ((voxels, ""), (inside, " inside the head")) if low < 0 else ():
        mean, sd = float(part.mean(dtype=np.float64)), float(part.std(dtype=np.float64))
        if abs(mean) <= Z_TOLERANCE and abs(sd - 1) <= Z_TOLERANCE:
            return f"a mean of {abs(mean):.2f} and an SD of {sd:.2f}{where}, as after z-scoring"
    return None


def head_or_brain(voxels: VoxelArray, world_from_voxel: Affine) -> State:
    """Tell a skull-stripped scan: nothing but one value around it, and no more within than a brain has room for."""
    value, share = _surrounding(voxels)
    range_ = CLEAN_RANGE * float(np.abs(voxels - value).max())
    rest_ml = float((np.abs(voxels - value) > range_).sum()) * abs(np.linalg.det(world_from_voxel[:3, :3])) / 1000
    return "skull-stripped" if share >= CLEAN_SHARE and rest_ml <= LARGEST_BRAIN_ML else "whole"


def hash_voxels(voxels: VoxelArray) -> str:
    """Return one hash of the upright voxels in single precision."""
    shape = "×".join(map(str, voxels.shape)).encode()
    return hashlib.sha256(shape + np.ascontiguousarray(voxels, dtype="<f4").tobytes()).hexdigest()


def _raw(task: ContentTask) -> ContentCheck:
    from neurolatent.volume.head import head_outline, on_working_grid  # torchio and SimpleITK load only here
    from neurolatent.volume.load import read_scan
    from neurolatent.volume.preprocess import one_thread

    tell = partial(_remark, task.key)
    with one_thread():
        scan = read_scan(task.path, analyze_affine=task.analyze_affine)
        scaled = normalised_before(scan.voxels)
        remarks = [
            tell("note", "values", "a file without oddities", flag, "Preprocessing goes on so.")
            for flag in scan.flags
            if flag not in task.flags
            and not flag.startswith("trailing axis")
            and not (scaled and flag.startswith(NEGATIVE))
        ]
        levels = _levels(scan.voxels)
        if levels < FEWEST_LEVELS:
            got = f"{levels} different values, as of a mask or a map of labels"
            severity: Severity = "error" if levels <= 2 else "warning"
            remarks.append(tell(severity, "levels", "grey values", got, "Name the T1w image itself."))
        elif scaled:
            way_out = "Use the raw scan: what was scaled by another rule is scaled again, and the cohort's scales mix."
            remarks.append(tell("warning", "normalised", "raw intensities", scaled, way_out))
        try:
            head_outline(on_working_grid(scan)[0], task.path.name)
        except ScanError as error:
            remarks.append(from_error(error, "head", task.key, image=task.image))
    state = head_or_brain(scan.voxels, scan.world_from_voxel)
    return ContentCheck(task.key, tuple(remarks), hash_voxels(scan.voxels), state)


def _given(task: ContentTask, grid: Grid) -> ContentCheck:
    from neurolatent.volume.given import read_given

    volume, _ = read_given(task.path, grid)
    return ContentCheck(task.key, voxels_hash=hash_voxels(volume))


def _lost(task: ContentTask, why: str) -> ContentCheck:
    return ContentCheck(task.key, (from_error(ScanError(why), "content", task.key, image=task.image),))


def _remark(key: ScanKey, severity: Severity, rule: str, expected: str, got: str, way_out: str) -> Remark:
    return Remark(severity, rule, scan_place(key), expected, got, way_out)


def _surrounding(voxels: VoxelArray) -> tuple[float, float]:
    """Return the most frequent value of the outermost voxels, and their share that is as near to it as rounding."""
    outermost = np.concatenate([np.take(voxels, side, axis).ravel() for axis in range(3) for side in (0, -1)])
    values, counts = np.unique(outermost, return_counts=True)
    value = float(values[counts.argmax()])
    near = np.abs(outermost - value) <= CLEAN_RANGE * float(np.abs(voxels - value).max())
    return value, float(near.mean())


def _levels(voxels: VoxelArray) -> int:
    """Count different values, in a sample where there are many voxels."""
    return int(np.unique(voxels.ravel()[:: max(1, voxels.size // SAMPLED_VOXELS)]).size)
