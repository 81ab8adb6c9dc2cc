"""BIDS: raw T1w scans, or derivatives in native or in linearly reached standard space."""

import posixpath
from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

from neurolatent.cohort.candidates import Candidate, Level, Reading, Source
from neurolatent.cohort.checks import check_image, exclude
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.readers.bids.choice import NamedScan, choose_scans, note_contrast_agents
from neurolatent.cohort.readers.bids.matching import match_rows, note_lacking, note_units
from neurolatent.cohort.readers.bids.names import (
    EXAMPLE,
    T1W_NAME,
    BidsName,
    misfiled,
    parse_name,
    unfit_version,
)
from neurolatent.cohort.readers.bids.tables import PARTICIPANTS, BidsTables, read_bids_tables
from neurolatent.cohort.readers.bids.units import read_json_object
from neurolatent.cohort.readers.folder import find_files
from neurolatent.cohort.readers.freesurfer import find_subjects, is_freesurfer, note_guesses
from neurolatent.cohort.tables import first_broken
from neurolatent.cohort.visits import plain_ending
from neurolatent.errors import CohortError, NeurolatentError

PREPROCESSED = "preproc"


def read_bids(descriptor: Descriptor, place: Source) -> Reading:
    """Find the images of a raw or derivative data set, and the rows that speak of them."""
    source = place.root
    tables = read_bids_tables(descriptor, place.tables or _tables_root(source))
    levels: tuple[Level, ...] = ("participant", "session")
    if is_freesurfer(source):
        scans, odd_names = find_subjects(source, descriptor.unnamed_session), note_guesses(source)
    else:
        scans, odd_names = _find_scans(descriptor, tables, source)
        levels = levels if _is_derivative(source) else (*levels, "scan")  # whose tables name the raw scans
    tables, oddities = match_rows(tables, scans)
    lacking = note_lacking(tables, [scan for scan in scans if scan.exclusion is None], levels)
    return Reading(
        tuple(_described(descriptor, tables, scan) for scan in scans),
        tuple(path for level in ("participant", "session", "scan") for path in tables.files[level]),
        len(tables.participants),
        (*odd_names, *note_units(descriptor, tables), *oddities, *lacking),
    )


def _find_scans(descriptor: Descriptor, tables: BidsTables, source: Path) -> tuple[list[Candidate], tuple[str, ...]]:
    """Find the images of the folder, and those that the tables of raw data name; return with them what is odd."""
    patterns = descriptor.images.patterns
    named_by = {image: image for image in find_files(source, patterns)}
    if not _is_derivative(source):  # whose tables, if it has any, name the raw scans
        named_by |= {image: rows[0].where for image, rows in tables.scans.items() if _is_wanted(image, patterns)}
    if not named_by:
        msg = (
            f"{source}: expected T1w scans at {list(descriptor.images.patterns)}, found none. "
            "Give the folder that holds the `sub-*` folders, raw or derivative."
        )
        raise CohortError(msg)
    names = {image: parse_name(image, descriptor.unnamed_session) for image in sorted(named_by)}
    nameless = [_nameless(image, named_by[image]) for image, name in names.items() if name is None]
    named = [_named(descriptor, source, image, name, named_by[image]) for image, name in names.items() if name]
    taken = choose_scans(descriptor, named)
    return [*nameless, *taken], note_contrast_agents(named, taken)


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
    endings = [posixpath.basename(plain_ending(pattern)) for pattern in patterns]
    return bool(T1W_NAME.fullmatch(name)) and any(fnmatch(plain_ending(name), ending) for ending in endings)


def _nameless(image: str, named_by: str) -> Candidate:
    reason = f"expected a name such as {EXAMPLE}, got another. Rename it as BIDS asks."
    return Candidate("", "", "", image, named_by, exclusion=Exclusion(image, image, reason, "error", "match"))


def _named(descriptor: Descriptor, source: Path, image: str, name: BidsName, named_by: str) -> NamedScan:
    mask_source = "given" if _mask_beside(source / image) else None
    misplaced, unfit = misfiled(name, image), unfit_version(descriptor, name, image)
    scan = Candidate(*name.key, image, named_by, mask_source=mask_source, exclusion=misplaced or unfit)
    instead = misplaced is None and unfit is not None
    return NamedScan(scan, name, name.nearness(descriptor), unfit=instead, absent=_absent(scan, source))


def _absent(scan: Candidate, source: Path) -> Exclusion | None:
    try:
        check_image(scan, source)
    except NeurolatentError as error:
        return exclude(scan, error)
    return None


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


def _mask_beside(image: Path) -> bool:
    stem, _, suffix = image.name.partition(f"_desc-{PREPROCESSED}_T1w")
    return bool(suffix) and image.with_name(f"{stem}_desc-brain_mask{suffix}").is_file()
