"""Random identifiers for people, and the key to them, which stays behind."""

import csv
import io
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from neurolatent.errors import TableError
from neurolatent.provenance import whole_file

COLUMNS = ("participant_id", "shared_id")
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without those that are mistaken for others."""
LENGTH = 8
PERSON = re.compile(r"\bsub-[A-Za-z0-9]+")
"""As `visits.tsv` writes people."""


def assign_identifiers(key: Path, people: Iterable[str]) -> Mapping[str, str]:
    """Return an identifier for each person, drawn once: who has one in the key keeps it, and newcomers are added.

    They are random, for a hash of a short name can be found by trying all names.
    """
    known = _read(key) if key.is_file() else {}
    taken = set(known.values())
    for person in sorted(set(people) - set(known)):
        known[person] = _draw(taken)
        taken.add(known[person])
    _write(key, known)
    return known


def rename(text: str, names: Mapping[str, str]) -> str:
    """Put identifiers in the place of people; somebody without one becomes nobody."""
    return PERSON.sub(lambda found: names.get(found[0], "sub-unnamed"), text)


def _draw(taken: set[str]) -> str:
    while True:
        drawn = "sub-" + "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
        if drawn not in taken:
            return drawn


def _read(key: Path) -> dict[str, str]:
    rows = list(csv.reader(key.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    names = {row[0]: row[1] for row in rows[1:] if len(row) == len(COLUMNS)}
    if not rows or tuple(rows[0]) != COLUMNS or len(set(names.values())) != len(rows) - 1:
        expected = f"expected the columns {', '.join(COLUMNS)} and one row for each person"
        msg = f"{key}: {expected}, got something else. Restore it: without it nobody can be found again."
        raise TableError(msg)
    return names


def _write(key: Path, names: Mapping[str, str]) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *sorted(names.items())])
    with whole_file(key) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    key.chmod(0o600)
