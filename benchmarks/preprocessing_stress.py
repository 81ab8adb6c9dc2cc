"""Real heads, damaged on purpose: each is refused, flagged, or has a good mask all the same."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from evidence import Result
from preprocessing_real import CHOSEN_ON, GRID, NO_VISIT, dlmuse_codes, images
from scipy import ndimage

from neurolatent.cohort.visits import write_visits
from neurolatent.provenance import write_json
from neurolatent.shapes import MaskArray, VoxelArray
from neurolatent.volume.cache import open_cache
from neurolatent.volume.preprocess import preprocess
from neurolatent.volume.quality import overlap
from neurolatent.volume.resample import resample
from neurolatent.volume.transforms import read_transform
from neurolatent.workspace import Workspace

HEADS = 6
GOOD_DICE = 0.90

Damaged = tuple[VoxelArray, np.ndarray, MaskArray]
"""Voxels, world_from_voxel, and what is left of the brain."""
Damage = Callable[[VoxelArray, np.ndarray, MaskArray], Damaged]


def measure_stress(source: Path, folder: Path, jobs: int) -> Result:
    """Preprocess heads with every damage, as one cohort with whole ones, and hold the masks against DLMUSE's."""
    workspace = Workspace(folder / "stress")
    paths = [path for path in images(source) if path.name.split("-")[0] in CHOSEN_ON]
    brains: dict[str, tuple[str, MaskArray, np.ndarray]] = {}
    visits = []
    for place, path in enumerate(paths):
        image = nib.as_closest_canonical(nib.Nifti1Image.from_filename(path))
        whole: Damaged = (np.asarray(image.dataobj, np.float32), np.asarray(image.affine), dlmuse_codes(path) > 0)
        for what, damage in {"whole": _whole, **(DAMAGES if place < HEADS else {})}.items():
            voxels, world_from_voxel, brain = damage(*whole)
            person = f"sub-{path.name.split('-')[0]}{what.replace(' ', '').replace('°', '').replace('%', '')}"
            file = workspace.root / "source" / f"{person}.nii.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            damaged = nib.Nifti1Image(voxels, world_from_voxel)
            damaged.header.set_xyzt_units("mm")
            nib.save(damaged, file)
            brains[person] = (what, brain, world_from_voxel)
            visits.append(replace(NO_VISIT, participant_id=person, session_id="ses-1", image=file.name))
    write_visits(workspace.visits_tsv, visits)
    write_json(
        workspace.visits_json,
        {"source_root": str((workspace.root / "source").resolve()), "cohort": "stress", "simulation": False},
    )
    preprocess(workspace, spacing_mm=GRID.spacing_mm, jobs=jobs)
    return {"title": "Real heads, damaged on purpose", "lines": _lines(workspace, brains)}


def _lines(workspace: Workspace, brains: Mapping[str, tuple[str, MaskArray, np.ndarray]]) -> list[str]:
    with workspace.quality_tsv.open(encoding="utf-8", newline="") as file:
        quality = {row["participant_id"]: row for row in csv.DictReader(file, delimiter="\t")}
    dice = _dice(workspace, brains)
    table = ["| damage | refused | flagged | mask's Dice: lowest | lowest without a flag |", "|---|---|---|---|---|"]
    silent = 0
    for what in ("whole", *DAMAGES):
        people = [person for person, (kind, _, _) in brains.items() if kind == what]
        usable = [person for person in people if person in dice]
        flagged = [person for person in usable if quality[person]["flags"] != "n/a"]
        passed = [dice[person] for person in usable if person not in flagged]
        silent += sum(value < GOOD_DICE for value in passed)
        lowest = f"{min(dice[person] for person in usable):.3f}" if usable else "–"
        table.append(
            f"| {what} | {len(people) - len(usable)} of {len(people)} | {len(flagged)} | {lowest} |"
            f" {f'{min(passed):.3f}' if passed else '–'} |"
        )
    return ["\n".join(table), f"- masks with a Dice below {GOOD_DICE:.2f} that pass without a flag: {silent}"]


def _dice(workspace: Workspace, brains: Mapping[str, tuple[str, MaskArray, np.ndarray]]) -> dict[str, float]:
    """Return, by person, how well the mask agrees in standard space with what is left of the brain."""
    cache, found = open_cache(workspace.cache(GRID.spacing_mm)), dict[str, float]()
    for place, key in enumerate(cache.keys):
        _, brain, world_from_voxel = brains[key.participant_id]
        (transform,) = (workspace.derivatives / key.participant_id).glob("**/*_xfm.txt")
        voxel_from_grid = np.linalg.inv(world_from_voxel) @ read_transform(transform) @ GRID.world_from_voxel
        carried = resample(brain.astype(np.float32), voxel_from_grid, GRID.shape) > 0.5
        found[key.participant_id] = overlap(np.asarray(cache.masks[place]), carried)
    return found


def _whole(voxels: VoxelArray, world_from_voxel: np.ndarray, brain: MaskArray) -> Damaged:
    return voxels, world_from_voxel, brain


def _turned(degrees: float, axis: int) -> Damage:
    """Say in the header that the head lies elsewhere than it does."""

    def damage(voxels: VoxelArray, world_from_voxel: np.ndarray, brain: MaskArray) -> Damaged:
        turn, angle = np.eye(4), np.deg2rad(degrees)
        first, second = (other for other in range(3) if other != axis)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        return voxels, turn @ world_from_voxel, brain

    return damage


def _scaled(factor: float) -> Damage:
    def damage(voxels: VoxelArray, world_from_voxel: np.ndarray, brain: MaskArray) -> Damaged:
        return voxels, np.diag([factor, factor, factor, 1.0]) @ world_from_voxel, brain

    return damage


def _values(change: Callable[[VoxelArray], VoxelArray]) -> Damage:
    def damage(voxels: VoxelArray, world_from_voxel: np.ndarray, brain: MaskArray) -> Damaged:
        return np.asarray(change(voxels), dtype=np.float32), world_from_voxel, brain

    return damage


def _cut(axis: int, share: float, *, low: bool = False) -> Damage:
    """Take away what lies beyond a share of the brain's extent, voxels and all."""

    def damage(voxels: VoxelArray, world_from_voxel: np.ndarray, brain: MaskArray) -> Damaged:
        inside = np.flatnonzero(brain.any(axis=tuple(other for other in range(3) if other != axis)))
        border = int(np.quantile(inside, share if low else 1 - share))
        kept = [slice(None)] * 3
        kept[axis] = slice(border, None) if low else slice(None, border)
        moved = world_from_voxel.copy()
        if low:
            moved[:3, 3] += world_from_voxel[:3, axis] * border
        return voxels[tuple(kept)], moved, brain[tuple(kept)]

    return damage


def _top(voxels: VoxelArray) -> float:
    return float(np.quantile(voxels, 0.99))


def _noisy(voxels: VoxelArray) -> VoxelArray:
    draws = np.random.default_rng(0).normal(0, 0.3 * _top(voxels), (2, *voxels.shape))
    return np.hypot(voxels + draws[0], draws[1])


def _inverted(voxels: VoxelArray) -> VoxelArray:
    return (1.3 * _top(voxels) - voxels) * (voxels > 0.1 * _top(voxels))


def _blurred(voxels: VoxelArray) -> VoxelArray:
    return np.asarray(ndimage.gaussian_filter(voxels, 3.0))


def _coarse(voxels: VoxelArray) -> VoxelArray:
    return np.round(voxels / _top(voxels) * 8).clip(0, 8)


def _biased(voxels: VoxelArray) -> VoxelArray:
    slopes = [np.linspace(-1, 1, extent) for extent in voxels.shape]
    return voxels * np.exp(slopes[0][:, None, None] + slopes[1][:, None])


def _ghosted(voxels: VoxelArray) -> VoxelArray:
    return voxels + 0.5 * np.roll(voxels, voxels.shape[1] // 2, axis=1)


DAMAGES: Mapping[str, Damage] = {
    "upside down": _turned(180, 0),
    "on its side": _turned(90, 1),
    "nodding by 60°": _turned(60, 0),
    "turned by 60°": _turned(60, 2),
    "too large by 50 %": _scaled(1.5),
    "too small by 30 %": _scaled(0.7),
    "contrast inverted": _values(_inverted),
    "noise of 30 %": _values(_noisy),
    "bias from 1 to 50": _values(_biased),
    "ghost of 50 %": _values(_ghosted),
    "blurred by 6 mm": _values(_blurred),
    "8 grey levels": _values(_coarse),
    "upper 40 % cut": _cut(2, 0.4),
    "lower 40 % cut": _cut(2, 0.4, low=True),
    "front 40 % cut": _cut(1, 0.4),
    "right half cut": _cut(0, 0.5),
}
