"""What lies in a cohort's folder: images by pattern, tables by name."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from neurolatent.cohort.candidates import Source
from neurolatent.cohort.descriptor import Descriptor, Naming, TableFiles
from neurolatent.cohort.tables import Row, has_columns, read_table, require_columns
from neurolatent.cohort.visits import plain_ending
from neurolatent.errors import CohortError

Rest = tuple[str, ...]
"""What is left of a pattern below a folder, part by part."""
ANY_FOLDERS = "**"


@dataclass(frozen=True)
class Tables:
    """The rows of a cohort's tables by the descriptor's names for them, and the files they came from."""

    rows: Mapping[str, tuple[Row, ...]]
    files: tuple[Path, ...]


def find_images(source: Path, patterns: Iterable[str], naming: Naming) -> list[str]:
    """Return the images' paths relative to the source, sorted; refuse a folder without any."""
    found = find_files(source, patterns, fits=lambda path: naming.groups(path) is not None)
    if not found:
        msg = f"{source}: expected images such as {naming.example} in or below it, found none. Check the path."
        raise CohortError(msg)
    return found


def find_files(source: Path, patterns: Iterable[str], *, fits: Callable[[str], bool] = bool) -> list[str]:
    """Return the paths below a folder that a pattern fits, relative to it and sorted.

    Links to folders are followed, also out of the source: what lies there is refused later, in a line of its own, and
    not passed over. The case of an image's ending does not matter.

    Args:
        source: The folder.
        patterns: Shell patterns; `**` stands for any number of folders.
        fits: Which of several paths that links make to one file is taken; then the one without links is.
    """
    root = Path(os.path.realpath(source))
    whole = {tuple(plain_ending(pattern).split("/")) for pattern in patterns}
    paths: dict[Path, list[str]] = {}
    for path, place in _walk(source, root, (), _from_here(whole), frozenset({root, *root.parents})):
        paths.setdefault(place, []).append(path)
    return sorted(
        min(own, key=lambda path: (not fits(path), root / path != place, path)) for place, own in paths.items()
    )


def _walk(
    folder: Path, place: Path, parts: tuple[str, ...], rest: set[Rest], above: frozenset[Path]
) -> Iterator[tuple[str, Path]]:
    """Yield each path that fits, and where it lies when links to folders are followed; never below itself."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name) if rest else []
    except OSError:
        return
    here = [pattern[0] for pattern in rest if len(pattern) == 1]
    for entry in entries:
        name = plain_ending(entry.name)
        if any(fnmatchcase(name, pattern) for pattern in here):
            yield "/".join((*parts, entry.name)), place / entry.name
        if _is_folder(entry):
            inner = Path(os.path.realpath(entry.path)) if entry.is_symlink() else place / entry.name
            if inner not in above:
                below = _below(rest, entry.name)
                yield from _walk(Path(entry.path), inner, (*parts, entry.name), below, above | {inner})


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _below(rest: Iterable[Rest], folder: str) -> set[Rest]:
    inside = {pattern[1:] for pattern in rest if len(pattern) > 1 and fnmatchcase(folder, pattern[0])}
    return _from_here(inside | {pattern for pattern in rest if pattern[0] == ANY_FOLDERS})


def _from_here(rest: Iterable[Rest]) -> set[Rest]:
    """Add what is left where `**` stands for no folder."""
    found: set[Rest] = set()
    for pattern in rest:
        skipped = next((place for place, part in enumerate(pattern) if part != ANY_FOLDERS), 0)
        found |= {pattern[place:] for place in range(skipped + 1)}
    return found


def read_tables(descriptor: Descriptor, source: Source, roles: Mapping[str, tuple[str, ...]]) -> Tables:
    """Find and read each table that the descriptor names; `roles` says which columns each must have."""
    rows: dict[str, tuple[Row, ...]] = {}
    files: list[Path] = []
    for name, wanted in descriptor.tables.items():
        columns = (getattr(descriptor.columns, role) for role in roles.get(name, ()))
        groups = [column.names for column in columns if column]
        found = _find(wanted, source)
        parts = [read_table(path, name=_shown(path, source), sheet=wanted.sheet) for path in found]
        for path, part in zip(found, parts, strict=True):
            require_columns(part, groups, path.name)
        rows[name] = tuple(row for part in parts for row in part)
        files += found
    return Tables(rows, tuple(files))


def _shown(path: Path, source: Source) -> str:
    """Name a table by its path below the source folder, or by its name."""
    return path.relative_to(source.root).as_posix() if path.is_relative_to(source.root) else path.name


def require_roles(descriptor: Descriptor, tables: Iterable[str], roles: Iterable[str]) -> None:
    """Refuse a descriptor that lacks what its reader goes by."""
    lacking = [f"tables.{name}" for name in tables if name not in descriptor.tables]
    lacking += [f"columns.{role}" for role in roles if getattr(descriptor.columns, role) is None]
    if lacking:
        msg = f"{descriptor.name}.toml: the reader {descriptor.reader!r} expects {', '.join(lacking)}. Add them."
        raise CohortError(msg)


def naming_of(descriptor: Descriptor) -> Naming:
    """Return how the cohort's files are named; refuse a descriptor that does not say."""
    if descriptor.images.naming is None:
        msg = f"{descriptor.name}.toml: the reader {descriptor.reader!r} expects images.naming. Add it."
        raise CohortError(msg)
    return descriptor.images.naming


def _find(wanted: TableFiles, source: Source) -> list[Path]:
    """Look in the folder for tables, the folder, its parent, below the folder, and in the folders beside it."""
    for place in _places(wanted, source):
        found = sorted(path for path in place if path.is_file() and has_columns(path, wanted.having))
        if len(found) > 1 and not wanted.many:
            paths = [Path(os.path.relpath(path, source.root)).as_posix() for path in found]
            msg = f"{source.root}: expected one table {list(wanted.files)}, got {paths}. Move all but one away."
            raise CohortError(msg)
        if found:
            return found
    if not wanted.required:
        return []
    places = "in it, below it or beside it"
    msg = f"{source.root}: expected a table {list(wanted.files)} {places}, found none. Put it there, or use --tables."
    raise CohortError(msg)


def _places(wanted: TableFiles, source: Source) -> Iterator[set[Path]]:
    root, around = source.root, source.root.parent
    if source.tables is not None:
        yield {path for pattern in wanted.files for path in source.tables.rglob(pattern)}
    yield {path for pattern in wanted.files for path in root.glob(pattern)}
    if wanted.nearby:
        yield {path for pattern in wanted.files for path in around.glob(pattern)}
        yield {path for pattern in wanted.files for path in root.rglob(pattern)}
    if wanted.nearby and wanted.required:  # what a cohort can do without may be another cohort's there
        yield {path for pattern in wanted.files for path in around.glob(f"*/{pattern}")}
