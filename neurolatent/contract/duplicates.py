"""The same scan under two names: by the file's bytes, by its voxels, or by what preprocessing saw in it."""

import gzip
import hashlib
import zlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path

from neurolatent.contract.headers import HeaderCheck
from neurolatent.contract.remark import Remark, scan_place
from neurolatent.errors import ScanError
from neurolatent.volume.opening import CHUNK
from neurolatent.workspace import ScanKey, Workspace

SAMPLE_BYTES, SAMPLED_AT = 2**16, (0.4, 0.5, 0.6)
"""Of a file: three places in its middle, where a head is and no two are alike."""
COPY_LIKENESS = 0.997
"""Copies that were requantised, rescaled or resampled reach it, visits and repeats of one person do not
(`volume.likeness`, on the phantom)."""


def same_files(checks: Iterable[HeaderCheck]) -> list[Remark]:
    """Tell of files whose unpacked bytes are the same; only those are read that agree in what costs nothing.

    A packed file states its checksum; of the others, those of one size are compared at three places.
    """
    alike: dict[Hashable, list[HeaderCheck]] = defaultdict(list)
    for check in checks:
        if check.usable and check.stored is not None:
            alike[check.packed or check.size].append(check)
    closer: dict[Hashable, list[HeaderCheck]] = defaultdict(list)
    for signature, group in alike.items():
        for check in group if len(group) > 1 else ():
            closer[signature, None if check.packed else _sample(check)].append(check)
    content = {check.task.key: _bytes_hash(check) for group in closer.values() if len(group) > 1 for check in group}
    return same_content(content)


def same_content(content: Mapping[ScanKey, str | None]) -> list[Remark]:
    """Tell of scans with one hash; the first of them stands, whoever it is."""
    first: dict[str, ScanKey] = {}
    remarks: list[Remark] = []
    for key, found in content.items():
        other = key if found is None else first.setdefault(found, key)
        if other != key:
            whose = _whose(key, other)
            got = f"the very voxels of {'/'.join(other)}, {whose}"
            way_out = "Find out whose scan it is, and remove the other row: a copy counts once."
            remarks.append(Remark("error", "same-scan", scan_place(key), "a scan of its own", got, way_out))
    return remarks


def near_copies(workspace: Workspace, keys: Iterable[ScanKey]) -> list[Remark]:
    """Tell of scans that show the same brain, by the fingerprints that preprocessing wrote, if it ran.

    Two people's scans that are as like as visits of one person are; one person's only where they are as like as
    copies, for visits are alike by nature.
    """
    if not workspace.derivatives.is_dir():
        return []
    prints = {key: found for key in keys if (found := _fingerprint(workspace, key))}
    usual = Counter(map(len, prints.values())).most_common(1)[0][0] if prints else 0
    remarks = [_odd(key, len(found), usual) for key, found in prints.items() if len(found) != usual]
    prints = {key: found for key, found in prints.items() if len(found) == usual}
    if len(prints) < 2:
        return remarks
    from neurolatent.volume.likeness import near_duplicates  # SimpleITK and torch load only here

    try:
        pairs = near_duplicates(prints)
    except (ScanError, ValueError):
        return [*remarks, _odd(next(iter(prints)), usual, None)]
    order = {key: place for place, key in enumerate(prints)}
    for one, other, value in pairs:
        first, second = sorted((one, other), key=order.__getitem__)
        remark = _near(first, second, value)
        remarks += [remark] if remark else []
    return remarks


def _odd(key: ScanKey, length: int, usual: int | None) -> Remark:
    expected = "a fingerprint that can be read" if usual is None else f"a fingerprint of {usual} hex digits"
    way_out = "Run `neurolatent preprocess` again."
    return Remark("warning", "near-copy", scan_place(key), expected, f"{length} characters", way_out)


def _near(one: ScanKey, other: ScanKey, value: float) -> Remark | None:
    got = f"the likeness {value:.3f} with {'/'.join(one)}, {_whose(other, one)}"
    if one.participant_id != other.participant_id:
        expected, way_out = "a brain of its own", "Look at both: one person under two names trains and tests at once."
        return Remark("warning", "near-copy", scan_place(other), expected, got, way_out)
    if value < COPY_LIKENESS:
        return None
    way_out = "Look at both: a copy is no second scan."
    return Remark("note", "near-copy", scan_place(other), "a scan of its own", got, way_out)


def _whose(key: ScanKey, other: ScanKey) -> str:
    return "the same person's" if key.participant_id == other.participant_id else "another person's"


def _sample(check: HeaderCheck) -> str | None:
    """Return a hash of a few places of a file."""
    if check.stored is None:
        return None
    digest = hashlib.sha256()
    with check.stored.open("rb") as file:
        for share in SAMPLED_AT:
            file.seek(int(share * check.size))
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def _bytes_hash(check: HeaderCheck) -> str | None:
    """Return a hash of a file's unpacked bytes; none where they cannot be unpacked, which is told elsewhere."""
    if check.stored is None:
        return None
    digest = hashlib.sha256()
    try:
        with gzip.open(check.stored) if check.packed else check.stored.open("rb") as file:
            while block := file.read(CHUNK):
                digest.update(block)
    except (OSError, EOFError, zlib.error):
        return None
    return digest.hexdigest()


def _fingerprint(workspace: Workspace, key: ScanKey) -> str:
    """Return what preprocessing wrote of a scan's content, on whatever grid; nothing where it did not run."""
    from neurolatent.volume.records import ScanFiles, read_record

    record = ScanFiles(workspace.derivatives, key, "*").record
    for path in sorted(_matching(record)):
        try:
            found = read_record(path)
        except (OSError, ValueError, KeyError, TypeError):  # half-written or edited: preprocessing makes it again
            continue
        if found and found.content_fingerprint:
            return found.content_fingerprint
    return ""


def _matching(pattern: Path) -> Iterable[Path]:
    return pattern.parent.glob(pattern.name) if pattern.parent.is_dir() else ()
