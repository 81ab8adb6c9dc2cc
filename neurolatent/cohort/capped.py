"""Ages that were capped before the data were shared: `89+`, `>89`, `90+` are read as their number, and told."""

import re
from dataclasses import replace

from neurolatent.cohort.candidates import Candidate, Reading

CAPPED = re.compile(r"(?:>=?|≥)\s*(?P<least>\d+(?:\.\d+)?)|(?P<more>\d+(?:\.\d+)?)\s*\+")


def read_capped_ages(reading: Reading) -> Reading:
    """Return what was found with capped ages as numbers that tell no time, and a note of how many they are."""
    candidates = tuple(map(_read, reading.candidates))
    capped = {
        cell.where: cell.text
        for before, after in zip(reading.candidates, candidates, strict=True)
        if after is not before and before.exclusion is None and (cell := before.cells["age"])
    }
    if not capped:
        return replace(reading, candidates=candidates)
    forms = ", ".join(sorted(set(capped.values())))
    note = f"{len(capped)} ages are given as {forms} and are taken as the number: these people may be older."
    return replace(reading, candidates=candidates, notes=(*reading.notes, note))


def _read(candidate: Candidate) -> Candidate:
    cell = candidate.cells.get("age")
    parts = CAPPED.fullmatch(cell.text) if cell else None
    if cell is None or parts is None:
        return candidate
    number = replace(cell, text=parts["least"] or parts["more"], capped=True)
    return replace(candidate, cells={**candidate.cells, "age": number})
