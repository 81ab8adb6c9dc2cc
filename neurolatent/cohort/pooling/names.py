"""What people and sites are called in a pool: nobody by another's name, and the same whoever else is pooled."""

import re

ESCAPES = {"Z": "Z0", "-": "Z1", "_": "Z2", ".": "Z3", "+": "Z4"}
"""BIDS labels are of letters and digits; what else a participant_id may hold is spelt out, so that two stay two."""
WITHOUT_SUB = "Z5"
BOUNDARY = "X"
"""Ends the cohort's name, which is in small letters and digits, and so holds none."""
PARTICIPANT_RULE = (
    "Person: sub-, the cohort's name in small letters and digits, X, and the participant_id without its sub-, in which "
    "Z stands for what is neither letter nor digit (Z1 -, Z2 _, Z3 ., Z4 +; Z0 is Z itself, Z5 an id that began "
    "without sub-)."
)


def cohort_label(cohort: str) -> str:
    """Return a cohort's name in small letters and digits."""
    return re.sub(r"[^a-z0-9]", "", cohort.lower())


def pooled_id(cohort: str, participant_id: str) -> str:
    """Return what a person is called in the pool: `sub-oasis1XOAS10001`."""
    text = participant_id.removeprefix("sub-")
    mark = "" if participant_id.startswith("sub-") else WITHOUT_SUB
    spelt = "".join(ESCAPES.get(letter, letter) for letter in text)
    return f"sub-{cohort_label(cohort)}{BOUNDARY}{mark}{spelt}"


def pooled_site(cohort: str, site: str | None) -> str:
    """Return a site's name in the pool: site 1 of one cohort is not site 1 of another."""
    return f"{cohort}-{site}" if site else cohort
