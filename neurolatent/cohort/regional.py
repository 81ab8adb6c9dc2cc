"""Regional volumes that FreeSurfer or SynthSeg measured, joined to the scans of a workspace."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from neurolatent.cohort.tables import DELIMITERS, read_table
from neurolatent.cohort.visits import MISSING, Visit
from neurolatent.errors import TableError
from neurolatent.provenance import write_text
from neurolatent.workspace import ScanKey

STATS = "aseg.stats"
MEASURE = re.compile(r"# Measure (?P<field>[^,]+), *(?P<name>[^,]+),.*, *(?P<value>[-+.\deE]+), *mm\^3")
SUBJECT_COLUMNS = ("subject", "measure:volume", "participant_id")
"""The first column of SynthSeg's tables, of FreeSurfer's asegstats2table, and of a table of one's own."""
FIRST_RUN = "1"
STEM_END = re.compile(r"(?:_T1w|_synthseg|_seg|\.long\..*)*(?:\.nii(?:\.gz)?|\.mgz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Measured:
    """What a program measured in one scan, in mm³ by region."""

    subject: str
    """As the program calls the scan."""
    where: str
    regions: Mapping[str, float]


@dataclass(frozen=True)
class Joined:
    """Measurements by scan, and those that belong to no scan, each with its reason."""

    rows: Mapping[ScanKey, Mapping[str, float]]
    lost: tuple[str, ...]


def read_regional(path: Path) -> list[Measured]:
    """Read an `aseg.stats` file, a folder of FreeSurfer's subjects, or a table with a row for each scan.

    Raises:
        TableError: If it is none of these, or a volume is no number.
    """
    if path.is_dir():
        found = sorted(path.glob(f"*/stats/{STATS}")) or sorted(path.glob(f"stats/{STATS}")) or sorted(path.glob(STATS))
        if not found:
            msg = (
                f"{path}: expected FreeSurfer's subjects with stats/{STATS}, found none. Give their folder, or a table."
            )
            raise TableError(msg)
        return [_read_stats(file) for file in found]
    if path.name.endswith(STATS) and path.is_file():
        return [_read_stats(path)]
    if path.suffix.lower() not in DELIMITERS or not path.is_file():
        msg = f"{path}: expected {STATS}, a folder of subjects or a table .csv or .tsv, got another. Check the path."
        raise TableError(msg)
    return list(_read_rows(path))


def join_regional(measured: Iterable[Measured], visits: Sequence[Visit]) -> Joined:
    """Give each measurement to the one scan that its name means: by our names, or by a part of its image's path."""
    labels: dict[str, set[ScanKey]] = {}
    sessions: dict[str, set[str]] = {}
    for visit in visits:
        sessions.setdefault(visit.participant_id, set()).add(visit.session_id)
    for visit in visits:
        for label in _labels(visit, alone=len(sessions[visit.participant_id]) == 1):
            labels.setdefault(label.lower(), set()).add(visit.key)
    rows: dict[ScanKey, Mapping[str, float]] = {}
    lost: list[str] = []
    for one in _spelt_alike(measured):
        meant = labels.get(_plain(one.subject), set())
        if len(meant) != 1:
            got = "none" if not meant else f"{len(meant)}"
            lost.append(f"{one.where}: expected one scan that {one.subject!r} names, got {got}. Rename it, or drop it.")
        elif (key := next(iter(meant))) in rows:
            lost.append(f"{one.where}: expected {one.subject!r} once, got it again. Remove one.")
        else:
            rows[key] = one.regions
    return Joined(rows, tuple(lost))


def _spelt_alike(measured: Iterable[Measured]) -> list[Measured]:
    """Write each region in one way: columns of tables are read in small letters, `aseg.stats` has capitals."""
    every = list(measured)
    spelling: dict[str, str] = {}
    for name in sorted(name for one in every for name in one.regions):  # capitals come first
        spelling.setdefault(name.lower(), name)
    return [
        replace(one, regions={spelling[name.lower()]: value for name, value in one.regions.items()}) for one in every
    ]


def write_regional(path: Path, joined: Joined) -> None:
    """Write the table, mm³, `n/a` where a program did not measure a region."""
    names = sorted({name for regions in joined.rows.values() for name in regions})
    lines = ["\t".join(["participant_id", "session_id", "run", *names])]
    for key, regions in sorted(joined.rows.items()):
        cells = [f"{round(regions[name], 3)}" if name in regions else MISSING for name in names]
        lines.append("\t".join([*key, *cells]))
    write_text(path, "\n".join(lines) + "\n")


def _read_stats(path: Path) -> Measured:
    """Read the volumes of FreeSurfer's segmentation and its measures in mm³; numbers of holes and ratios are not."""
    regions: dict[str, float] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        measure = MEASURE.fullmatch(line.strip())
        if measure:
            regions[measure["name"].strip()] = float(measure["value"])
        elif line.strip() and not line.startswith("#"):
            cells = line.split()
            if len(cells) < 5:
                msg = f"{path.name}: expected a segment's number, size and name, got {line.strip()!r}. Copy it again."
                raise TableError(msg)
            regions[cells[4]] = _volume(cells[3], path.name)
    if not regions:
        msg = f"{path}: expected volumes, found none. Copy the file again."
        raise TableError(msg)
    folder = path.parent.parent if path.parent.name == "stats" else path.parent
    return Measured(folder.name, path.name if folder == path.parent else f"{folder.name}/stats/{path.name}", regions)


def _read_rows(path: Path) -> Iterator[Measured]:
    for row in read_table(path):
        subject = row.get(SUBJECT_COLUMNS)
        if row.problem or subject is None:
            msg = f"{row.where}: {row.problem or f'expected a scan in one of {list(SUBJECT_COLUMNS)}, got none.'}"
            raise TableError(msg)
        session = row.get(["session_id"])
        name = f"{subject[1]}_{session[1]}" if session else subject[1]
        own = {*SUBJECT_COLUMNS, "session_id", "run"}
        regions = {
            region: _volume(text, f"{row.where}, {region}")
            for region, text in row.cells.items()
            if region and region not in own and text not in {"", MISSING}
        }
        yield Measured(name, row.where, regions)


def _volume(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        msg = f"{where}: expected a volume in mm³, got {text!r}. Correct it."
        raise TableError(msg) from error


def _labels(visit: Visit, *, alone: bool) -> set[str]:
    """Return what a program may call a scan; a session means its first run, and a person the only session."""
    person, session = visit.participant_id, visit.session_id
    path = PurePosixPath(visit.image)
    names = {f"{person}_{session}_run-{visit.run}", _plain(path.name), *path.parts[:-1]}
    if visit.run == FIRST_RUN:
        names |= {f"{person}_{session}", *([person] if alone else [])}
    return names | {name.removeprefix("sub-") for name in names}


def _plain(name: str) -> str:
    return STEM_END.sub("", name).lower()
