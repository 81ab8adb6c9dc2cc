"""The sidecar of the table of scans: where they come from, what each column means, who was left out and why."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.visits import COLUMNS, Visit, image_path
from neurolatent.errors import TableError
from neurolatent.provenance import read_json, write_json

FORMAT_VERSION = 1
Matrix = tuple[tuple[float, ...], ...]
"""An affine as files write it: four rows of four."""
EXPLAINED = {
    "participant_id": "Person; all scans of one person share it.",
    "session_id": "Visit; scans of one visit share it.",
    "run": "Scan within the visit: 1, 2 …",
    "months": "",
    "age_years": "Age at the scan. An age of the participants' table holds at the first scan: months / 12 are added.",
    "age_precision_years": "The age may be off by this much: the descriptor says, else one unit of its last decimal.",
    "sex": "F or M.",
    "diagnosis": "CN (cognitively normal), MCI (mild cognitive impairment), AD (Alzheimer's dementia) or other.",
    "dx_rule": "How the diagnosis was reached.",
    "site": "Where the scan was taken.",
    "scanner_tesla": "Field strength of the scanner.",
    "cohort": "Name of the cohort's descriptor.",
    "mask_source": "`given` where the source brings an intracranial mask beside the image.",
    "image": "Path of the image, relative to source_root.",
}


@dataclass(frozen=True)
class SourceTable:
    """A table that was read: its path relative to the source root, and the SHA-256 of its bytes."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Counts:
    """Scans by how far they came, and people."""

    found: int
    """Images found, or named by a table."""
    matched: int
    """Of these, joined to their row."""
    kept: int
    """Of these, fit for use: the rows of `visits.tsv`."""
    participants: int
    """People who have a kept scan."""
    people_in_tables: int
    """People whom the cohort's tables list, with or without a scan."""


@dataclass(frozen=True)
class PooledCohort:
    """One of the cohorts that a pooled workspace joins, as its own sidecar told of it."""

    cohort: str
    title: str
    source_root: Path
    counts: Counts
    exclusions: int
    """How many scans were left out: the pooled sidecar lists them, each scan's path below the cohort's name."""
    expected_participants: int | None
    expected_scans: int | None
    diagnosis_rule: str
    licence: str
    licence_url: str | None
    apply: str
    citation: str
    descriptor_hash: str
    visits_hash: str
    analyze_affine: Matrix | None = None
    shares: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sidecar:
    """What `visits.json` holds."""

    cohort: str
    title: str
    simulation: bool
    source_root: Path
    sources: tuple[SourceTable, ...]
    columns: Mapping[str, str]
    exclusions: tuple[Exclusion, ...]
    counts: Counts
    expected_participants: int | None
    expected_scans: int | None
    diagnosis_rule: str
    diagnosis_source: str
    licence: str
    licence_url: str | None
    apply: str
    citation: str
    descriptor_hash: str
    visits_hash: str
    """SHA-256 of the table beside it."""
    test_only: tuple[str, ...] = ()
    """People whom every split keeps for the test; none in a sidecar older than this entry."""
    members: tuple[PooledCohort, ...] = ()
    """The cohorts of a pooled workspace, each with its own source root; none where one source folder was built."""
    analyze_affine: Matrix | None = None
    """World from voxel in mm, of images whose own header cannot tell."""
    accepted_diagnosis_rules: tuple[str, ...] = ()
    """Rules of diagnosis that disagree, where somebody pooled their cohorts all the same."""
    shares: tuple[str, ...] = ()
    """What the terms let be handed on, `weights` or `samples`; nothing in a sidecar older than this entry."""
    notes: tuple[str, ...] = ()
    """What is odd about the tables, and what was changed so that no later file tells a date."""

    @property
    def source_roots(self) -> tuple[Path, ...]:
        """Every folder of raw scans, the one that holds all of them first."""
        return (self.source_root, *(member.source_root for member in self.members))

    def root_of(self, cohort: str) -> Path:
        """Return where the images of one of the cohorts lie."""
        return {member.cohort: member.source_root for member in self.members}.get(cohort, self.source_root)

    def shares_of(self, cohort: str) -> tuple[str, ...] | None:
        """Return what one of the cohorts' terms let be handed on; `None` where the cohort is not here."""
        return {self.cohort: self.shares, **{member.cohort: member.shares for member in self.members}}.get(cohort)

    def analyze_affine_of(self, cohort: str) -> Matrix | None:
        """Return the affine of one of the cohorts' Analyze images."""
        return {member.cohort: member.analyze_affine for member in self.members}.get(cohort, self.analyze_affine)

    def image(self, visit: Visit, *, source: Path | None = None) -> Path:
        """Return where a visit's image lies; `source` stands in for a source root that has moved."""
        return image_path(source or self.root_of(visit.cohort), visit.image)


def describe_columns(own: Iterable[str], months_rule: str) -> dict[str, str]:
    """Explain every column of the table."""
    explained = {name: EXPLAINED[name] for name in COLUMNS} | {"months": months_rule}
    return explained | dict.fromkeys(own, "The cohort's own column.")


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Write the sidecar, whole or not at all."""
    record = {"format_version": FORMAT_VERSION, **asdict(sidecar), "source_root": str(sidecar.source_root)}
    record["members"] = [{**asdict(member), "source_root": str(member.source_root)} for member in sidecar.members]
    write_json(path, record)


def read_sidecar(path: Path) -> Sidecar:
    """Read and check the sidecar."""
    if not path.is_file():
        msg = f"{path}: no sidecar of the table of scans. Make both with `neurolatent cohort build NAME SOURCE`."
        raise TableError(msg)
    try:
        record = read_json(path)
        found = record.pop("format_version", None)
        if found != FORMAT_VERSION:
            msg = f"{path.name}: expected format version {FORMAT_VERSION}, got {found!r}. Rebuild the cohort."
            raise TableError(msg)
        return _sidecar(record)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        msg = f"{path.name}: expected a whole sidecar, got something else ({error}). Rebuild the cohort."
        raise TableError(msg) from error


def _sidecar(record: dict[str, Any]) -> Sidecar:
    typed: dict[str, Any] = {
        "source_root": Path(record["source_root"]),
        "sources": tuple(SourceTable(**row) for row in record["sources"]),
        "exclusions": tuple(Exclusion(**row) for row in record["exclusions"]),
        "counts": Counts(**record["counts"]),
        "test_only": tuple(record.get("test_only", ())),
        "analyze_affine": _matrix(record.get("analyze_affine")),
        "members": tuple(map(_member, record.get("members", ()))),
        "shares": tuple(record.get("shares", ())),
        "notes": tuple(record.get("notes", ())),
        "accepted_diagnosis_rules": tuple(record.get("accepted_diagnosis_rules", ())),
    }
    return Sidecar(**(record | typed))


def _matrix(rows: list[list[float]] | None) -> Matrix | None:
    return None if rows is None else tuple(tuple(row) for row in rows)


def _member(row: dict[str, Any]) -> PooledCohort:
    typed: dict[str, Any] = {"source_root": Path(row["source_root"]), "counts": Counts(**row["counts"])}
    typed |= {"analyze_affine": _matrix(row.get("analyze_affine")), "shares": tuple(row.get("shares", ()))}
    return PooledCohort(**(row | typed))
