"""The tables beside a phantom's images: participants, sessions, true volumes, the oracle."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from neurolatent.phantom.anatomy import REGIONS
from neurolatent.phantom.oracle import fit_oracle
from neurolatent.phantom.parameters import GROUPS
from neurolatent.phantom.visits import Session
from neurolatent.phantom.writer import Job
from neurolatent.provenance import write_text

TRUTH_FOLDER, PEOPLE_FILE, VOLUMES_FILE, ORACLE_FILE = "truth", "people.json", "volumes.tsv", "oracle.tsv"
KEYS = ("participant_id", "session_id")


def write_tables(job: Job) -> None:
    """Write all tables of a cohort."""
    people, sites = job.people, job.parameters.sites
    rows = range(len(people.index))
    write_rows(
        job.folder / "participants.tsv",
        ("participant_id", "sex", "group", "site"),
        (
            (people.participant_id(row), people.sex[row], GROUPS[people.group[row]], sites[people.site[row]].name)
            for row in rows
        ),
    )
    for row in rows:
        name, site = people.participant_id(row), sites[people.site[row]]
        write_rows(
            job.folder / name / f"{name}_sessions.tsv",
            ("session_id", "months", "age", "diagnosis", "site", "scanner_tesla"),
            (
                (
                    visit.session_id,
                    f"{visit.months:.1f}",
                    f"{visit.age_years:.3f}",
                    visit.diagnosis,
                    site.name,
                    f"{site.tesla:g}",
                )
                for visit in job.sessions[row]
            ),
        )
    _write_volumes(job)
    _write_oracle(job)


def write_rows(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a TSV table, whole or not at all."""
    lines = ["\t".join(columns), *("\t".join(str(cell) for cell in row) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def _write_volumes(job: Job) -> None:
    columns = (*KEYS, "months", "intracranial_ml", *(f"{region}_ml" for region in REGIONS))
    rows = (
        (
            job.people.participant_id(row),
            visit.session_id,
            f"{visit.months:.1f}",
            f"{job.people.intracranial_ml[row]:.4f}",
            *(f"{volume:.5f}" for volume in np.exp(job.people.log_volumes(_everyone_at(job, visit))[row])),
        )
        for row, visit in _visits(job)
    )
    write_rows(job.folder / TRUTH_FOLDER / VOLUMES_FILE, columns, rows)


def _write_oracle(job: Job) -> None:
    oracle = fit_oracle(job.parameters, arm=job.arm)
    rows = (
        (
            job.people.participant_id(row),
            visit.session_id,
            f"{oracle.probability(job.people, _everyone_at(job, visit))[row]:.6f}",
        )
        for row, visit in _visits(job)
    )
    write_rows(job.folder / TRUTH_FOLDER / ORACLE_FILE, (*KEYS, "p_ad"), rows)


def _visits(job: Job) -> Iterator[tuple[int, Session]]:
    for row, sessions in enumerate(job.sessions):
        for visit in sessions:
            yield row, visit


def _everyone_at(job: Job, visit: Session) -> np.ndarray:
    return np.full(len(job.people.index), visit.months)
