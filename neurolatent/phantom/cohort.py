"""Write a phantom cohort: BIDS, raw or in standard space, with all that is true kept beside it."""

import json
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neurolatent.errors import CohortError, SettingsError
from neurolatent.phantom.parameters import Arm, load_parameters
from neurolatent.phantom.people import draw_people
from neurolatent.phantom.records import Record, people_from_records
from neurolatent.phantom.scanner import RawProtocol
from neurolatent.phantom.structures import REGIONS
from neurolatent.phantom.tables import PEOPLE_FILE, TRUTH_FOLDER, write_tables
from neurolatent.phantom.truth import TRUTH_FORMAT, PhantomTruth
from neurolatent.phantom.truth_images import Extra, write_extras
from neurolatent.phantom.visits import draw_sessions
from neurolatent.phantom.workers import single_threads
from neurolatent.phantom.writer import Job
from neurolatent.provenance import read_json, write_json
from neurolatent.volume.space import Grid
from neurolatent.volume.template import TemplateMaps, template_maps
from neurolatent.workspace import View

Space = Literal["standard", "raw"]
Progress = Callable[[int, int], None]
"""Called with scans written and scans in all."""
DEFAULT_REPEATS = 0.15
"""Share of people with a repeated scan."""
BIDS_VERSION = "1.10.0"


def write_phantom(  # noqa: PLR0913 - one option for each way in which a cohort may differ
    folder: Path,
    *,
    subjects: int,
    seed: int,
    visits: int = 5,
    arm: Arm = "balanced",
    space: Space = "standard",
    spacing_mm: float = 4.0,
    view: View = "standard",
    repeats: float = DEFAULT_REPEATS,
    people: Sequence[int] | None = None,
    raw: RawProtocol | None = None,
    extras: Collection[Extra] = (),
    jobs: int = 1,
    device: str = "cpu",
    template: TemplateMaps | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a cohort of that many people; the same settings give the same bytes on one machine, however many `jobs`.

    Args:
        folder: The source folder, new or left half-written by the same settings.
        subjects: How many people; a larger cohort of the same seed begins with the same people.
        seed: Of everything; part of the people's names.
        visits: Scheduled visits, 1 to 5; some are missed.
        arm: `confounded` sends most people with AD to one site.
        space: `standard` writes brain-only volumes and masks on the grid, `raw` heads in the scanner's own voxels.
        spacing_mm: Of the standard-space grid.
        view: Where the middle of that grid lies; `paper` for presets of the published construction.
        repeats: Share of people with a second scan on one of their days.
        raw: Voxel size and orientation of raw scans, where they are not to be their scanners' own.
        extras: Images to write beside the tables of truth: `tissues` and `noise-free` images of every visit,
            `deformations` between a person's first visit and every other, there and back.
        people: Numbers below `subjects` of the only people to write; all of them by default.
        jobs: People imaged at a time, one thread each.
        device: Torch's device of the computation.
        template: The template's maps, where nilearn is not installed.
        progress: Called with scans written and scans in all.
    """
    chosen = _chosen(subjects, people, jobs)
    parameters = load_parameters()
    protocol = raw or RawProtocol()
    protocol.check(space)
    grid, maps = Grid(spacing_mm, view), template if template is not None else template_maps()
    settings = {
        "seed": seed,
        "visits": visits,
        "arm": arm,
        "space": space,
        "spacing_mm": spacing_mm,
        "repeats": repeats,
        **({"raw": asdict(protocol)} if space == "raw" else {}),
        **({"view": view} if view != "standard" else {}),
    }
    drawn = draw_people(parameters, seed=seed, index=chosen, arm=arm)
    sessions = tuple(
        draw_sessions(parameters, drawn, row, visits=visits, repeats=repeats) for row in range(len(chosen))
    )
    _claim(folder, {**settings, "people": chosen.tolist(), "parameters": parameters.fingerprint}, space)
    job = Job(folder, parameters, drawn, sessions, arm, protocol if space == "raw" else None, grid, maps, device)
    records = _image(job, jobs, progress)
    write_tables(replace(job, people=people_from_records(parameters, seed, records)))  # some were drawn again
    _write_document(job, settings, records)
    if extras:
        write_extras(PhantomTruth.open(folder, template=maps, device=device), grid, extras, jobs=jobs)


def _write_document(job: Job, settings: dict[str, Any], records: list[Record]) -> None:
    """Write all that was drawn, last: a folder that has it is whole."""
    document = {
        "format_version": TRUTH_FORMAT,
        "simulation": True,
        **settings,
        "regions": REGIONS,
        "parameters": job.parameters.table,
        "people": records,
    }
    write_json(job.folder / TRUTH_FOLDER / PEOPLE_FILE, document)


def _chosen(subjects: int, people: Sequence[int] | None, jobs: int) -> np.ndarray:
    """Return the numbers of the people to write; refuse impossible counts."""
    if jobs < 1:
        msg = f"Expected at least one job, got {jobs}."
        raise SettingsError(msg)
    if subjects < 1:
        msg = f"Expected at least one subject, got {subjects}."
        raise SettingsError(msg)
    chosen = range(subjects) if people is None else sorted(set(people))
    outside = [number for number in chosen if not 0 <= number < subjects]
    if outside or not chosen:
        msg = f"Expected numbers of people from 0 to {subjects - 1}, got {outside or 'none'}. State others."
        raise SettingsError(msg)
    return np.array(chosen)


def _claim(folder: Path, settings: dict[str, Any], space: Space) -> None:
    """Mark the folder as this phantom's; a folder that holds anything else is refused."""
    description = {
        "Name": "neurolatent digital phantom (simulation)",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw" if space == "raw" else "derivative",
        "License": "Apache-2.0",
        "GeneratedBy": [{"Name": "neurolatent.phantom", "Settings": settings}],
    }
    description = json.loads(json.dumps(description))  # as it reads back: tuples become lists
    path = folder / "dataset_description.json"
    empty = not folder.exists() or not any(folder.iterdir())
    if not empty and (not path.is_file() or read_json(path) != description):
        msg = (
            f"{folder}: expected an empty folder, or this very phantom half-written. State another folder, or empty it."
        )
        raise CohortError(msg)
    write_json(path, description)


def _image(job: Job, jobs: int, progress: Progress | None) -> list[Record]:
    """Write everyone's scans; return the records by row."""
    anatomies = sorted({int(anatomy) for anatomy in job.people.anatomy})
    total = sum(session.runs for sessions in job.sessions for session in sessions)
    records: dict[int, Record] = {}
    written = 0
    with single_threads(jobs) as pool:
        pool.submit(job.prepare).result()  # by a worker too: with more threads its last bits could differ
        list(pool.map(job.prepare_anatomy, anatomies))
        tasks = {pool.submit(job.write_person, row): row for row in range(len(job.people.index))}
        for task in as_completed(tasks):
            record = task.result()
            records[tasks[task]] = record
            written += len(record["scans"])
            if progress is not None:
                progress(written, total)
    return [records[row] for row in sorted(records)]
