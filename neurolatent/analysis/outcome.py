"""Turn statistics into rows with intervals and paired differences, and write a finding with its tables and maps."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np

from neurolatent.analysis.certificate import Verdict
from neurolatent.analysis.finding import FILE_NAME, Estimate, Fact, Finding, write_finding
from neurolatent.analysis.intervals import LEVEL, Resamples, Statistic, difference, interval
from neurolatent.analysis.study import Study
from neurolatent.cohort.visits import MISSING
from neurolatent.provenance import whole_file, write_text
from neurolatent.shapes import VoxelArray
from neurolatent.volume.space import Grid
from neurolatent.workspace import ScanKey

Cell = str | float | int | None
KEY_COLUMNS = ScanKey._fields


@dataclass(frozen=True)
class Quantity:
    """What is measured, in which unit, and which way is better (where one is)."""

    name: str
    unit: str
    higher_is_better: bool | None


@dataclass(frozen=True)
class Entry:
    """One method's statistic; a model names the baselines that it is held against, the one to beat first."""

    method: str
    role: Literal["model", "baseline", "ceiling"]
    statistic: Statistic
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows of a TSV file."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Outcome:
    """What an analysis found, before it is written."""

    protocol: str
    title: str
    settings: Any
    verdict: Verdict
    estimates: Sequence[Estimate]
    facts: Sequence[Fact] = ()
    notes: Sequence[str] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    maps: Mapping[str, VoxelArray] = field(default_factory=dict)


def compare(
    quantity: Quantity, resamples: Resamples, entries: Sequence[Entry], *, group: str = "all"
) -> list[Estimate]:
    """Estimate every entry, then every model minus each of its rivals, all on the same resamples."""
    by_method = {entry.method: entry.statistic for entry in entries}
    rows = [
        _estimate(quantity, resamples, entry.statistic, entry.role, entry.method, group, next(iter(entry.rivals), None))
        for entry in entries
    ]
    for entry in entries:
        for rival in entry.rivals:
            statistic = difference(entry.statistic, by_method[rival])
            label = f"{entry.method} − {rival}"
            rows.append(_estimate(quantity, resamples, statistic, "difference", label, group, rival))
    return rows


def write_outcome(study: Study, outcome: Outcome) -> Finding:
    """Write tables and maps, and `finding.json` last: a finding is whole or absent."""
    folder = study.workspace.findings(study.run, outcome.protocol)
    (folder / FILE_NAME).unlink(missing_ok=True)
    for name, table in outcome.tables.items():
        write_table(folder / f"{name}.tsv", table)
    for name, volume in outcome.maps.items():
        write_map(folder / f"{name}.nii.gz", volume, study.cache.grid)
    usable = study.usable
    finding = Finding(
        protocol=outcome.protocol,
        title=outcome.title,
        cohort={
            "name": study.sidecar.cohort,
            "n_subjects": len({visit.participant_id for visit in usable}),
            "n_scans": len(usable),
            "hash": study.cache.hash,
        },
        split_hash=study.split.hash,
        weights_hash=study.card.weights_hash,
        certificate=outcome.verdict.certificate,
        certificate_reason=outcome.verdict.reason,
        seed=outcome.settings.seed,
        simulation=study.sidecar.simulation,
        settings=asdict(outcome.settings),
        estimates=tuple(outcome.estimates),
        facts=tuple(outcome.facts),
        notes=tuple(outcome.notes),
        tables={name: f"{name}.tsv" for name in outcome.tables},
        maps={name: f"{name}.nii.gz" for name in outcome.maps},
    )
    write_finding(folder, finding)
    return finding


def write_table(path: Path, table: Table) -> None:
    """Write a TSV, `n/a` where a value is missing."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_cell(value) for value in row] for row in table.rows)
    write_text(path, text.getvalue())


def write_map(path: Path, volume: VoxelArray, grid: Grid) -> None:
    """Write a volume of the standard grid as NIfTI."""
    image = nib.Nifti1Image(np.asarray(volume, dtype=np.float32), grid.world_from_voxel)
    image.header.set_xyzt_units("mm")
    with whole_file(path) as temporary:
        nib.save(image, temporary)


def _estimate(
    quantity: Quantity,
    resamples: Resamples,
    statistic: Statistic,
    role: Literal["model", "baseline", "ceiling", "difference"],
    method: str,
    group: str,
    versus: str | None,
) -> Estimate:
    found = interval(resamples, statistic)
    return Estimate(
        role=role,
        model=method,
        name=quantity.name,
        value=found.value,
        low=found.low,
        high=found.high,
        unit=quantity.unit,
        n_subjects=resamples.n_subjects,
        n_scans=resamples.n_scans,
        interval_method=resamples.method,
        level=LEVEL,
        group=group,
        versus=versus,
        higher_is_better=quantity.higher_is_better,
    )


def _cell(value: Cell) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return MISSING
    return f"{value:.6g}" if isinstance(value, float) else str(value)
