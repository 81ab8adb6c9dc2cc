"""Read and write `split.json`, whole or not at all; one that was edited is refused."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from neurolatent.cohort.splits.record import Kind, Split
from neurolatent.cohort.splits.strata import describe
from neurolatent.cohort.visits import Visit
from neurolatent.errors import CohortError
from neurolatent.provenance import read_json, write_json

FORMAT_VERSION = 1


def write_split(path: Path, split: Split) -> None:
    """Write the split, whole or not at all."""
    record = {
        "format_version": FORMAT_VERSION,
        "kind": split.kind,
        "seed": split.seed,
        "shares": dict(split.shares),
        "stratified_by": [] if split.kind == "sites" else describe(sites=bool(split.sites)),
        "hash": split.hash,
        "subjects": {subject: _entry(split, subject) for subject in split.assignments},
    }
    write_json(path, record)


def read_split(path: Path, *, visits: Iterable[Visit] | None = None) -> Split:
    """Read and check a split; with `visits`, refuse one that lacks any of their subjects."""
    if not path.is_file():
        msg = f"{path}: no split. Make it with `neurolatent cohort split {path.parent}`."
        raise CohortError(msg)
    try:
        record = read_json(path)
        found = record.get("format_version")
        if found != FORMAT_VERSION:
            msg = f"{path.name}: expected format version {FORMAT_VERSION}, got {found!r}. Split the cohort anew."
            raise CohortError(msg)
        split = _from_record(record)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        msg = f"{path.name}: expected a whole split, got something else ({error!r}). Restore it from a copy."
        raise CohortError(msg) from error
    if split.hash != record["hash"] or not set(split.assignments.values()) <= set(split.parts):
        msg = f"{path.name}: expected hash {record['hash']}, got {split.hash}: it was edited. Restore it from a copy."
        raise CohortError(msg)
    if visits is not None:
        split.refuse_unknown(visits)
    return split


def _entry(split: Split, subject: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"part": split.assignments[subject], "stratum": split.strata[subject]}
    if subject in split.sites:
        entry["site"] = split.sites[subject]
    return {**entry, "test_only": True} if subject in split.test_only else entry


def _from_record(record: Mapping[str, Any]) -> Split:
    """Take a record for a split; files from before sites were among the strata have none."""
    subjects = record["subjects"]
    if record["kind"] not in get_args(Kind):
        msg = f"unknown kind {record['kind']!r}"
        raise ValueError(msg)
    return Split(
        record["kind"],
        record["seed"],
        record["shares"],
        {subject: entry["part"] for subject, entry in subjects.items()},
        {subject: entry["stratum"] for subject, entry in subjects.items()},
        frozenset(subject for subject, entry in subjects.items() if entry.get("test_only")),
        {subject: entry["site"] for subject, entry in subjects.items() if "site" in entry},
    )
