"""Random identifiers for people, and the key to them, which stays behind."""

import csv
import io
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from neurolatent.cohort.visits import Visit
from neurolatent.errors import TableError
from neurolatent.provenance import whole_file

COLUMNS = ("participant_id", "shared_id")
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without those that are mistaken for others."""
LENGTH = 8
IDENTIFIER = re.compile(rf"sub-[{LETTERS}]{{{LENGTH}}}")
LABEL = r"[A-Za-z0-9_.+-]*[A-Za-z0-9+]"
PERSON_AND_SESSION = re.compile(rf"\b(sub-{LABEL})(?:(/|, )(ses-{LABEL}))?")
"""As files and captions write people, `visits.tsv` allows and sentences end."""
NOBODY = "sub-unnamed"


@dataclass(frozen=True)
class Names:
    """What people and their sessions are called outside."""

    people: Mapping[str, str]
    sessions: Mapping[tuple[str, str], str]
    """By participant and session: an archive's name for a session can lead to its person."""

    def of(self, text: str) -> str:
        """Put identifiers in the place of people, and of sessions behind them; whoever has none becomes nobody."""
        return PERSON_AND_SESSION.sub(lambda found: self._pair(*found.groups()), text)

    def session(self, person: str, text: str) -> str:
        """Rename a session of a person; any other text stays."""
        return self.sessions.get((person, text), text)

    def _pair(self, person: str, between: str | None, session: str | None) -> str:
        renamed = self.people.get(person, NOBODY)
        return f"{renamed}{between}{self.session(person, session)}" if session else renamed


def assign_names(key: Path, visits: Sequence[Visit]) -> Names:
    """Return an identifier for each person, drawn once, and numbers for their sessions, in order of time.

    Who has an identifier in the key keeps it, and newcomers are added. They are random, for a hash of a short name can
    be found by trying all names.

    Raises:
        TableError: If somebody's name does not begin with `sub-`, so that it could not be told from other words.
    """
    strange = sorted({visit.participant_id for visit in visits if not visit.participant_id.startswith("sub-")})
    if strange:
        msg = f"visits.tsv: expected participants named sub-…, got {strange[0]!r}. Build the cohort, or rename them."
        raise TableError(msg)
    known = _read(key) if key.is_file() else {}
    taken = set(known.values())
    for person in sorted({visit.participant_id for visit in visits} - set(known)):
        known[person] = _draw(taken)
        taken.add(known[person])
    _write(key, known)
    return Names(known, _number_sessions(visits))


def _number_sessions(visits: Iterable[Visit]) -> dict[tuple[str, str], str]:
    starts: dict[tuple[str, str], float] = {}
    for visit in visits:
        session = visit.participant_id, visit.session_id
        starts[session] = min(visit.months, starts.get(session, visit.months))
    ordered = sorted(starts, key=lambda session: (session[0], starts[session], session[1]))
    return {
        session: f"ses-{number}"
        for _, own in groupby(ordered, key=lambda session: session[0])
        for number, session in enumerate(own, start=1)
    }


def _draw(taken: set[str]) -> str:
    while True:
        drawn = "sub-" + "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
        if drawn not in taken:
            return drawn


def _read(key: Path) -> dict[str, str]:
    rows = list(csv.reader(key.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    names = {row[0]: row[1] for row in rows[1:] if len(row) == len(COLUMNS)}
    proper = all(IDENTIFIER.fullmatch(name) for name in names.values())
    if not rows or tuple(rows[0]) != COLUMNS or len(set(names.values())) != len(rows) - 1 or not proper:
        expected = f"expected the columns {', '.join(COLUMNS)}, and for each person an identifier as drawn here"
        msg = f"{key}: {expected}, got something else. Restore it: without it nobody can be found again."
        raise TableError(msg)
    return names


def _write(key: Path, names: Mapping[str, str]) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *sorted(names.items())])
    with whole_file(key) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    key.chmod(0o600)
