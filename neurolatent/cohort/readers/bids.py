"""BIDS: raw T1w scans, or derivatives in native or in linearly reached standard space."""

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from neurolatent.cohort.candidates import Candidate, Level, Reading, Source
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.readers.bids_matching import match_rows, note_lacking, note_units
from neurolatent.cohort.readers.bids_tables import PARTICIPANTS, BidsTables, read_bids_tables
from neurolatent.cohort.readers.bids_units import read_json_object
from neurolatent.cohort.readers.freesurfer import find_subjects, is_freesurfer, note_guesses
from neurolatent.cohort.tables import first_broken
from neurolatent.errors import CohortError

T1W_NAME = re.compile(
    r"(?P<participant>sub-[A-Za-z0-9]+)(?:_(?P<session>ses-[A-Za-z0-9]+))?(?P<rest>(?:_[a-z]+-[A-Za-z0-9+]+)*)"
    r"_T1w\.nii(?:\.gz)?"
)
PREPROCESSED = "preproc"
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


def read_bids(descriptor: Descriptor, place: Source) -> Reading:
    """Find the images of a raw or derivative data set, and the rows that speak of them."""
    source = place.root
    tables = read_bids_tables(descriptor, place.tables or _tables_root(source))
    levels: tuple[Level, ...] = ("participant", "session")
    if is_freesurfer(source):
        scans, guesses = find_subjects(source, descriptor.unnamed_session), note_guesses(source)
    else:
        scans, guesses = _find_scans(descriptor, tables, source), ()
        levels = levels if _is_derivative(source) else (*levels, "scan")  # whose tables name the raw scans
    tables, oddities = match_rows(tables, scans)
    lacking = note_lacking(tables, [scan for scan in scans if scan.exclusion is None], levels)
    return Reading(
        tuple(_described(descriptor, tables, scan) for scan in scans),
        tuple(path for level in ("participant", "session", "scan") for path in tables.files[level]),
        len(tables.participants),
        (*guesses, *note_units(descriptor, tables), *oddities, *lacking),
    )


def _find_scans(descriptor: Descriptor, tables: BidsTables, source: Path) -> list[Candidate]:
    """Find the images of the folder, and those that the tables of raw data name."""
    patterns = descriptor.images.patterns
    found = {path.relative_to(source).as_posix() for pattern in patterns for path in source.glob(pattern)}
    named_by = {image: image for image in found}
    if not _is_derivative(source):  # whose tables, if it has any, name the raw scans
        named_by |= {image: rows[0].where for image, rows in tables.scans.items() if _is_wanted(image, patterns)}
    if not named_by:
        msg = (
            f"{source}: expected T1w scans at {list(patterns)}, found none. "
            "Give the folder that holds the `sub-*` folders, raw or derivative."
        )
        raise CohortError(msg)
    images = _without_shadowed(descriptor, sorted(named_by))
    return [_candidate(descriptor, source, image, named_by[image]) for image in images]


def is_bids(folder: Path) -> bool:
    """Whether a folder holds the folders of people as BIDS names them, or as Clinica's CAPS does one level down."""
    return any(any(folder.glob(pattern)) for pattern in ("sub-*/", "subjects/sub-*/"))


def _tables_root(source: Path) -> Path:
    """Return where the tables are: for derivatives that brought none, the raw data set around them."""
    if (source / PARTICIPANTS).is_file() or not (_is_derivative(source) or is_freesurfer(source)):
        return source
    around = [folder for folder in list(source.parents)[:2] if (folder / PARTICIPANTS).is_file()]
    return around[0] if around else source


def _is_derivative(source: Path) -> bool:
    path = source / "dataset_description.json"
    return path.is_file() and read_json_object(path).get("DatasetType") == "derivative"


def _is_wanted(image: str, patterns: Iterable[str]) -> bool:
    name = posixpath.basename(image)
    return bool(T1W_NAME.fullmatch(name)) and any(fnmatch(name, posixpath.basename(pattern)) for pattern in patterns)


def _candidate(descriptor: Descriptor, source: Path, image: str, named_by: str) -> Candidate:
    name = _parse(posixpath.basename(image), descriptor.unnamed_session)
    if name is None:
        reason = "expected a name such as sub-01_ses-01_run-1_T1w.nii.gz, got another. Rename it as BIDS asks."
        return Candidate("", "", "", image, named_by, exclusion=Exclusion(image, image, reason, "error", "match"))
    return Candidate(
        *name.key,
        image,
        named_by,
        mask_source="given" if _mask_beside(source / image) else None,
        exclusion=_unfit_name(descriptor, name, image),
    )


def _described(descriptor: Descriptor, tables: BidsTables, scan: Candidate) -> Candidate:
    """Give a scan what the tables say of it."""
    rows = tables.rows_of(scan)
    exclusion, broken = scan.exclusion, first_broken(row for _, row in rows)
    if exclusion is None and broken is not None:
        exclusion = Exclusion(scan.image, *broken, "check")
    known = any(level == "participant" for level, _ in rows)
    if exclusion is None and not known and tables.participants and descriptor.require:
        reason = f"expected a row for {scan.participant_id}, got none. Add one, or leave the scan out."
        exclusion = Exclusion(scan.image, PARTICIPANTS, reason, "warning", "match")
    return replace(scan, cells=tables.cells_of(descriptor, scan), exclusion=exclusion)


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
