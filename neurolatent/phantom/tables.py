"""The tables beside a phantom's images: participants, sessions, true volumes, the oracle."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurolatent.phantom.oracle import fit_oracle
from neurolatent.phantom.parameters import GROUPS
from neurolatent.phantom.people import KEPT_ANATOMIES, People, PerPerson
from neurolatent.phantom.structures import REGIONS, STRUCTURES, structure_log_volumes
from neurolatent.phantom.writer import Job
from neurolatent.provenance import write_text

TRUTH_FOLDER, PEOPLE_FILE, VOLUMES_FILE, ORACLE_FILE = "truth", "people.json", "volumes.tsv", "oracle.tsv"
MISSING = "n/a"
KEYS = ("participant_id", "session_id")


def write_tables(job: Job) -> None:
    """Write all tables of a cohort."""
    people, sites = job.people, job.parameters.sites
    rows = range(len(people.index))
    write_rows(
        job.folder / "participants.tsv",
        ("participant_id", "sex", "group", "site", "kept_for_test"),
        (
            (
                people.participant_id(row),
                people.sex[row],
                GROUPS[people.group[row]],
                sites[people.site[row]].name,
                "yes" if people.anatomy[row] in KEPT_ANATOMIES else "no",
            )
            for row in rows
        ),
    )
    for row in rows:
        name, site = people.participant_id(row), sites[people.site[row]]
        scanners = [site.scanner(people.year(row, visit.months)) for visit in job.sessions[row]]
        write_rows(
            job.folder / name / f"{name}_sessions.tsv",
            ("session_id", "months", "age", "diagnosis", "site", "scanner", "scanner_tesla"),
            (
                (
                    visit.session_id,
                    f"{visit.months:.1f}",
                    f"{visit.age_years:.3f}",
                    visit.diagnosis,
                    site.name,
                    scanner.name,
                    f"{scanner.tesla:g}",
                )
                for visit, scanner in zip(job.sessions[row], scanners, strict=True)
            ),
        )
    visits = _Visits.of(job)
    _write_volumes(job, visits)
    _write_oracle(job, visits)


def write_rows(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a TSV table, whole or not at all."""
    lines = ["\t".join(columns), *("\t".join(str(cell) for cell in row) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def volume_columns() -> tuple[str, ...]:
    """Return the columns of the true volumes: structures, then regions that are not structures themselves."""
    return (*STRUCTURES, *(region for region in REGIONS if region not in STRUCTURES), "hypointensities")


def volumes_ml(people: People, months: PerPerson) -> list[dict[str, float]]:
    """Return everyone's true volumes in mL, by `volume_columns`."""
    logs = people.log_volumes(months)
    columns = dict(zip(REGIONS, np.exp(logs).T, strict=True))
    columns |= dict(zip(STRUCTURES, np.exp(structure_log_volumes(logs)).T, strict=True))
    columns["hypointensities"] = people.hypointensities_ml(months)
    return [{name: float(columns[name][row]) for name in volume_columns()} for row in range(len(people.index))]


def _write_volumes(job: Job, visits: "_Visits") -> None:
    columns = (*KEYS, "months", "intracranial_ml", *(f"{name}_ml" for name in volume_columns()))
    rows = (
        (*key, f"{months:.1f}", f"{skull_ml:.4f}", *(f"{volume:.5f}" for volume in volumes.values()))
        for key, months, skull_ml, volumes in zip(
            visits.keys,
            visits.months,
            visits.people.intracranial_ml,
            volumes_ml(visits.people, visits.months),
            strict=True,
        )
    )
    write_rows(job.folder / TRUTH_FOLDER / VOLUMES_FILE, columns, rows)


def _write_oracle(job: Job, visits: "_Visits") -> None:
    oracle = fit_oracle(job.parameters, arm=job.arm)
    p_ad, p_conversion, ages = (
        [f"{answer:.6f}" for answer in ask(visits.people, visits.months)]
        for ask in (oracle.p_ad, oracle.p_conversion, oracle.age_years)
    )
    impaired = [visits.people.diagnosis(row, months) == "MCI" for row, months in enumerate(visits.months.tolist())]
    asked = [chance if has_mci else MISSING for chance, has_mci in zip(p_conversion, impaired, strict=True)]
    rows = ((*key, *own) for key, *own in zip(visits.keys, p_ad, asked, ages, strict=True))
    write_rows(job.folder / TRUTH_FOLDER / ORACLE_FILE, (*KEYS, "p_ad", "p_conversion", "age_years"), rows)


@dataclass(frozen=True, eq=False)
class _Visits:
    """All visits of a cohort, each with its person."""

    keys: tuple[tuple[str, str], ...]
    people: People
    months: PerPerson

    @classmethod
    def of(cls, job: Job) -> "_Visits":
        rows = [row for row, sessions in enumerate(job.sessions) for _ in sessions]
        sessions = [visit for sessions in job.sessions for visit in sessions]
        names = (job.people.participant_id(row) for row in rows)
        keys = tuple((name, visit.session_id) for name, visit in zip(names, sessions, strict=True))
        return cls(keys, job.people.take(np.array(rows)), np.array([visit.months for visit in sessions]))
