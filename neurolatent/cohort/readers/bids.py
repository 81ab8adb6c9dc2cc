"""BIDS: raw T1w scans, or derivatives in native or in linearly reached standard space."""

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from neurolatent.cohort.candidates import Candidate, Level, Reading, Source, cells_of, rows_agree, show_row
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.readers.freesurfer import find_subjects, is_freesurfer, note_guesses
from neurolatent.cohort.tables import Row, first_broken, has_columns, index_rows, read_table, require_columns
from neurolatent.errors import CohortError

T1W_NAME = re.compile(
    r"(?P<participant>sub-[A-Za-z0-9]+)(?:_(?P<session>ses-[A-Za-z0-9]+))?(?P<rest>(?:_[a-z]+-[A-Za-z0-9+]+)*)"
    r"_T1w\.nii(?:\.gz)?"
)
PREPROCESSED = "preproc"
PADDED_MONTHS = re.compile(r"M(\d+)")
FIRST_RUN = "1"


@dataclass(frozen=True)
class _Name:
    """What a T1w file's name says."""

    participant_id: str
    session_id: str
    run: str
    space: str | None
    desc: str | None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.participant_id, self.session_id, self.run


@dataclass(frozen=True)
class _Tables:
    """The rows of a data set by what they describe."""

    root: Path
    participants: dict[str, Row]
    sessions: dict[str, Row]
    """By `sub-X/ses-Y`."""
    scans: dict[str, Row]
    """By the image's path relative to the root."""
    files: tuple[Path, ...]


def read_bids(descriptor: Descriptor, place: Source) -> Reading:
    """Find the images of a raw or derivative data set, and the rows that speak of them."""
    source = place.root
    tables = _read_tables(descriptor, place.tables or _tables_root(source))
    if is_freesurfer(source):
        scans = [_described(descriptor, tables, scan) for scan in find_subjects(source, descriptor.unnamed_session)]
        return Reading(tuple(scans), tables.files, len(tables.participants), note_guesses(source))
    patterns = descriptor.images.patterns
    found = {path.relative_to(source).as_posix() for pattern in patterns for path in source.glob(pattern)}
    named_by = {image: image for image in found}
    if not _is_derivative(source):  # whose tables, if it has any, name the raw scans
        named_by |= {image: row.where for image, row in tables.scans.items() if _is_wanted(image, patterns)}
    if not named_by:
        msg = (
            f"{source}: expected T1w scans at {list(patterns)}, found none. "
            "Give the folder that holds the `sub-*` folders, raw or derivative."
        )
        raise CohortError(msg)
    images = _without_shadowed(descriptor, sorted(named_by))
    candidates = (_candidate(descriptor, tables, source, image, named_by[image]) for image in images)
    return Reading(tuple(candidates), tables.files, len(tables.participants))


def is_bids(folder: Path) -> bool:
    """Whether a folder holds the folders of people as BIDS names them, or as Clinica's CAPS does one level down."""
    return any(any(folder.glob(pattern)) for pattern in ("sub-*/", "subjects/sub-*/"))


def _tables_root(source: Path) -> Path:
    """Return where the tables are: for derivatives that brought none, the raw data set around them."""
    if (source / "participants.tsv").is_file() or not (_is_derivative(source) or is_freesurfer(source)):
        return source
    around = [folder for folder in list(source.parents)[:2] if (folder / "participants.tsv").is_file()]
    return around[0] if around else source


def _is_derivative(source: Path) -> bool:
    path = source / "dataset_description.json"
    if not path.is_file():
        return False
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        msg = f"{path}: expected JSON, got something else ({error}). Correct the file, or remove it."
        raise CohortError(msg) from error
    return isinstance(description, dict) and description.get("DatasetType") == "derivative"


def _read_tables(descriptor: Descriptor, root: Path) -> _Tables:
    everyone = [path for path in [root / "participants.tsv"] if path.is_file()]
    everyone = [path for path in everyone if not has_columns(path, ("session_id",))]  # else a row is a session
    sessions = sorted(root.glob("sub-*/sub-*_sessions.tsv"))
    labels = [path for path in sorted(root.glob("*.tsv")) if has_columns(path, ("participant_id", "session_id"))]
    scans = sorted([*root.glob("sub-*/sub-*_scans.tsv"), *root.glob("sub-*/ses-*/sub-*_scans.tsv")])
    return _Tables(
        root,
        _index(descriptor, _rows(root, everyone, "participant_id"), _participant_key),
        _index(descriptor, _rows(root, [*sessions, *labels], "session_id"), _session_key),
        _index(descriptor, _rows(root, scans, "filename"), _scan_key),
        (*everyone, *sessions, *labels, *scans),
    )


def _rows(root: Path, paths: Iterable[Path], key_column: str) -> list[Row]:
    rows: list[Row] = []
    for path in paths:
        shown = path.relative_to(root).as_posix()
        table = read_table(path, name=shown)
        require_columns(table, [(key_column,)], shown)
        rows.extend(table)
    return rows


def _index(descriptor: Descriptor, rows: Iterable[Row], key_of: Callable[[Row], str | None]) -> dict[str, Row]:
    columns = descriptor.columns
    return index_rows(
        rows, key_of, lambda one, other: rows_agree(columns, one, other), lambda row: show_row(columns, row)
    )


def _participant_key(row: Row) -> str | None:
    found = row.get(["participant_id"])
    return found and "sub-" + found[1].removeprefix("sub-")


def _session_key(row: Row) -> str | None:
    """Name the session: by its column in ClinicaDL's one table for all, by its folder in a table of one person."""
    found, person = row.get(["session_id"]), _participant_key(row) or Path(row.file).parts[0]
    return found and f"{person}/{_plain_session(found[1])}"


def _plain_session(name: str) -> str:
    """Write a session in one way: Clinica's `ses-M00` of old is its `ses-M000` of now."""
    bare = name.removeprefix("ses-")
    months = PADDED_MONTHS.fullmatch(bare)
    return f"ses-M{int(months[1]):03d}" if months else f"ses-{bare}"


def _scan_key(row: Row) -> str | None:
    found = row.get(["filename"])
    return found and posixpath.normpath(posixpath.join(posixpath.dirname(row.file), found[1]))


def _is_wanted(image: str, patterns: Iterable[str]) -> bool:
    name = posixpath.basename(image)
    return bool(T1W_NAME.fullmatch(name)) and any(fnmatch(name, posixpath.basename(pattern)) for pattern in patterns)


def _candidate(descriptor: Descriptor, tables: _Tables, source: Path, image: str, named_by: str) -> Candidate:
    name = _parse(posixpath.basename(image), descriptor.unnamed_session)
    if name is None:
        reason = "expected a name such as sub-01_ses-01_run-1_T1w.nii.gz, got another. Rename it as BIDS asks."
        return Candidate("", "", "", image, named_by, exclusion=Exclusion(image, image, reason, "error", "match"))
    scan = Candidate(
        *name.key,
        image,
        named_by,
        mask_source="given" if _mask_beside(source / image) else None,
        exclusion=_unfit_name(descriptor, name, image),
    )
    return _described(descriptor, tables, scan)


def _described(descriptor: Descriptor, tables: _Tables, scan: Candidate) -> Candidate:
    """Give a scan what the tables say of it."""
    person = tables.participants.get(scan.participant_id)
    levels: list[tuple[Level, Row | None]] = [
        ("scan", tables.scans.get(scan.image)),
        ("session", tables.sessions.get(f"{scan.participant_id}/{_plain_session(scan.session_id)}")),
        ("participant", person),
    ]
    exclusion, broken = scan.exclusion, first_broken(row for _, row in levels)
    if exclusion is None and broken is not None:
        exclusion = Exclusion(scan.image, *broken, "check")
    if exclusion is None and person is None and tables.participants and descriptor.require:
        reason = f"expected a row for {scan.participant_id}, got none. Add one, or leave the scan out."
        exclusion = Exclusion(scan.image, "participants.tsv", reason, "warning", "match")
    return replace(scan, cells=cells_of(descriptor, levels), exclusion=exclusion)


def _parse(name: str, unnamed_session: str) -> _Name | None:
    parts = T1W_NAME.fullmatch(name)
    if parts is None:
        return None
    entities = dict(entity.split("-", 1) for entity in parts["rest"].split("_")[1:])
    return _Name(
        parts["participant"],
        parts["session"] or unnamed_session,
        entities.get("run", FIRST_RUN).lstrip("0") or "0",
        entities.get("space"),
        entities.get("desc"),
    )


def _unfit_name(descriptor: Descriptor, name: _Name, image: str) -> Exclusion | None:
    folder = image.split("/", 1)[0]
    linear = descriptor.images.linear_spaces
    if folder.startswith("sub-") and folder != name.participant_id:
        reason = f"expected a scan of {folder}, got one of {name.participant_id}. Move or rename it."
    elif name.space is not None and name.space not in linear and not descriptor.images.allow_nonlinear:
        reason = (
            f"expected a native scan or one in {list(linear)}, got space-{name.space}: non-linear warping flattens "
            "atrophy. Use the native `desc-preproc_T1w` or the raw scan, or allow it with --allow-nonlinear."
        )
    elif name.desc is not None and name.desc not in descriptor.images.descriptions:
        known = " or ".join(f"desc-{label}" for label in descriptor.images.descriptions)
        reason = f"expected a raw scan or {known}, got desc-{name.desc}. Give the whole scan."
    else:
        return None
    return Exclusion(image, image, reason, "error", "check")


def _mask_beside(image: Path) -> bool:
    stem, _, suffix = image.name.partition(f"_desc-{PREPROCESSED}_T1w")
    return bool(suffix) and image.with_name(f"{stem}_desc-brain_mask{suffix}").is_file()


def _without_shadowed(descriptor: Descriptor, images: Sequence[str]) -> list[str]:
    """Drop versions of a scan that would be refused (warped, say) where a usable version of it is there too."""
    names = {image: _parse(posixpath.basename(image), descriptor.unnamed_session) for image in images}
    fit = {name.key for image, name in names.items() if name and not _unfit_name(descriptor, name, image)}
    return [im for im, name in names.items() if not (name and name.key in fit and _unfit_name(descriptor, name, im))]
