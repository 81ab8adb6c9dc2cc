"""How good a preprocessed scan is, and the table of all of them."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np

from neurolatent.provenance import write_text
from neurolatent.shapes import MaskArray, VoxelArray
from neurolatent.volume.outliers import flag_outliers
from neurolatent.volume.records import Measures, ScanRecord
from neurolatent.volume.resample import resample_smoothed
from neurolatent.volume.sampling import voxel_centres_mm
from neurolatent.volume.space import Grid
from neurolatent.volume.target import template_distance_mm
from neurolatent.volume.template import template_maps
from neurolatent.workspace import ScanKey

MISSING = "n/a"
MEASURES = tuple(field.name for field in fields(Measures))
COLUMNS = (*ScanKey._fields, "status", "reason", "flags", "mask_source", *MEASURES)
MIN_TISSUE_VOXELS = 20
TISSUE_PROBABILITY = 0.7


@dataclass(frozen=True, eq=False)
class ScanOutcome:
    """What became of one scan."""

    key: ScanKey
    status: str
    """`done`, `skipped` (finished before) or `failed`."""
    message: str
    """Why it failed, for the person at the terminal; it may name the file."""
    reason: str
    """The same without the file's name, or why a finished scan was done again."""
    record: ScanRecord | None
    without: str | None = None
    """The session that had no part in how the volume was made; none for the volume that everything else uses."""


def flags_of(outcomes: Iterable[ScanOutcome]) -> dict[ScanKey, tuple[str, ...]]:
    """Return why each usable scan should be looked at: by its file, by limits, and by the rest of the cohort."""
    records = {outcome.key: outcome.record for outcome in outcomes if outcome.record}
    outlying = flag_outliers({key: asdict(record.measures) for key, record in records.items()})
    return {key: (*record.flags, *outlying[key]) for key, record in records.items()}


def write_quality(path: Path, outcomes: Iterable[ScanOutcome], flags: Mapping[ScanKey, Sequence[str]]) -> None:
    """Write one row a scan, in the order given; a table that says the same is left alone."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for outcome in outcomes:
        record = outcome.record
        if record is None:
            writer.writerow([*outcome.key, "failed", outcome.reason, *[MISSING] * (len(MEASURES) + 2)])
        else:
            measures = [_cell(value) for value in astuple(record.measures)]
            flagged = "; ".join(flags.get(outcome.key, ())) or MISSING
            writer.writerow([*outcome.key, "done", MISSING, flagged, record.mask_source, *measures])
    if not path.is_file() or path.read_text(encoding="utf-8") != text.getvalue():
        write_text(path, text.getvalue())


def template_mask(grid: Grid) -> MaskArray:
    """Return the template's intracranial space on a grid."""
    return template_distances_mm(grid) < 0


@cache
def template_volume(grid: Grid) -> VoxelArray:
    """Return the template's T1 on a grid."""
    maps = template_maps()
    map_from_grid = np.linalg.inv(maps.world_from_voxel) @ grid.world_from_voxel
    return np.asarray(resample_smoothed(maps.t1, map_from_grid, grid.shape), dtype=np.float32)


@cache
def template_distances_mm(grid: Grid) -> VoxelArray:
    """Return the distance of every voxel of a grid to the template's intracranial surface, negative inside."""
    return template_distance_mm(voxel_centres_mm(grid.shape, grid.world_from_voxel)).numpy()


def overlap(one: MaskArray, other: MaskArray) -> float:
    """Return the Dice coefficient of two masks: Dice 1945."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 0.0


def signal_and_contrast(volume: VoxelArray, mask: MaskArray, grid: Grid) -> tuple[float | None, float | None]:
    """Return signal to noise in white matter, and contrast to noise of white to grey, where the template has them."""
    grey_map, white_map = _tissue_maps(grid)
    grey, white = (volume[(tissue > TISSUE_PROBABILITY) & mask] for tissue in (grey_map, white_map))
    if min(grey.size, white.size) < MIN_TISSUE_VOXELS:
        return None, None
    pooled = float(np.sqrt((grey.var() + white.var()) / 2))
    if white.std() == 0 or pooled == 0:
        return None, None
    return float(white.mean() / white.std()), float((white.mean() - grey.mean()) / pooled)


@cache
def _tissue_maps(grid: Grid) -> tuple[VoxelArray, VoxelArray]:
    maps = template_maps()
    map_from_grid = np.linalg.inv(maps.world_from_voxel) @ grid.world_from_voxel
    grey, white = (resample_smoothed(tissue, map_from_grid, grid.shape) for tissue in (maps.grey, maps.white))
    return grey, white


def _cell(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4g}"
