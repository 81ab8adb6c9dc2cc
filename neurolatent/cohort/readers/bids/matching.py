"""Rows meet their scans, also where a spreadsheet took the leading zeros; what meets nothing is noted."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from neurolatent.cohort.candidates import Candidate, Level
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.readers.bids.tables import BidsTables, Index, session_key
from neurolatent.cohort.tables import Row

Names = Mapping[str, str]
"""Of scans' people or sessions, by what a table calls them where it leaves leading zeros out, or adds some."""
KINDS: dict[Level, str] = {"session": "tables of sessions", "scan": "tables of scans"}
"""What notes call several tables of one kind."""


def match_rows(tables: BidsTables, scans: Sequence[Candidate]) -> tuple[BidsTables, tuple[str, ...]]:
    """Give rows the names of their scans where leading zeros alone differ, one for one; return with it what is odd."""
    named = [scan for scan in scans if scan.participant_id]
    people, visits = {scan.participant_id for scan in named}, {session_key(scan) for scan in named}
    person_of = _match(tables.participants, people)
    session_of = _match_sessions(tables.sessions, people, visits)
    matched = replace(
        tables,
        participants=_renamed(tables.participants, person_of),
        sessions=_renamed(tables.sessions, session_of),
    )
    notes = (
        *_zeros(_file(tables, "participant"), person_of),
        *_zeros(_file(tables, "session"), session_of),
        *_strangers(_file(tables, "participant"), matched.participants.keys() - people),
        *_strangers(_file(tables, "session"), matched.sessions.keys() - visits),
    )
    return matched, notes


def note_lacking(tables: BidsTables, scans: Iterable[Candidate], levels: Iterable[Level]) -> tuple[str, ...]:
    """Tell of scans that no row speaks of, in each kind of table that is there."""
    wanted = [scan for scan in scans if scan.participant_id]
    notes: list[str] = []
    for level in levels:
        index = {"participant": tables.participants, "session": tables.sessions, "scan": tables.scans}[level]
        keys = [
            {"participant": one.participant_id, "session": session_key(one), "scan": one.image}[level] for one in wanted
        ]
        lacking = [key for key in keys if key not in index]
        if tables.files[level] and lacking:
            names = ", ".join(sorted(set(lacking)))
            notes.append(f"{_file(tables, level)}: {len(lacking)} of {len(keys)} scans have no row: {names}.")
    return tuple(notes)


def note_units(descriptor: Descriptor, tables: BidsTables) -> tuple[str, ...]:
    """Tell of tables whose ages are in another unit than the descriptor's, as the data set states."""
    column = descriptor.columns.age
    units = {file: unit for file, unit in tables.units.items() if column and unit != column.unit}
    return tuple(
        f"{', '.join(file for file, own in units.items() if own == unit)}: ages are in {unit}, as the JSON file states."
        for unit in sorted(set(units.values()))
    )


def _match(told: Iterable[str], wanted: Iterable[str]) -> Names:
    rows, scans = _by_bare(told), _by_bare(wanted)
    return {
        own[0]: scans[bare][0]
        for bare, own in rows.items()
        if len(own) == 1 and len(scans.get(bare, ())) == 1 and own != scans[bare]
    }


def _match_sessions(told: Index, people: Iterable[str], visits: Iterable[str]) -> Names:
    person_of = _match({key.partition("/")[0] for key in told}, people)
    rows, scans = defaultdict[str, dict[str, str]](dict), defaultdict[str, list[str]](list)
    for key in told:
        person, _, session = key.partition("/")
        rows[person_of.get(person, person)][session] = key
    for key in visits:
        person, _, session = key.partition("/")
        scans[person].append(session)
    names: dict[str, str] = {}
    for person, own in rows.items():
        session_of = _match(own, scans[person])
        names |= {key: f"{person}/{session_of.get(session, session)}" for session, key in own.items()}
    return {key: name for key, name in names.items() if key != name}


def _by_bare(names: Iterable[str]) -> dict[str, list[str]]:
    """Group labels such as `sub-01` and `sub-1` that differ by leading zeros alone."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        prefix, _, label = name.partition("-")
        found.setdefault(f"{prefix}-{label.lstrip('0')}", []).append(name)
    return found


def _renamed(index: Index, names: Names) -> dict[str, tuple[Row, ...]]:
    return {names.get(key, key): rows for key, rows in index.items()}


def _file(tables: BidsTables, level: Level) -> str:
    files = tables.files[level]
    return files[0].relative_to(tables.root).as_posix() if len(files) == 1 else KINDS.get(level, "")


def _zeros(file: str, names: Names) -> tuple[str, ...]:
    pairs = ", ".join(f"{told} for {meant}" for told, meant in sorted(names.items()))
    text = f"{file}: {len(names)} rows are matched to scans whose names differ by leading zeros alone: {pairs}."
    return (text,) if names else ()


def _strangers(file: str, names: Iterable[str]) -> tuple[str, ...]:
    found = sorted(names)
    return (f"{file}: {len(found)} rows belong to no scan: {', '.join(found)}.",) if found else ()
