"""Readers: from a cohort's own folders and tables to candidates, chosen by name."""

from neurolatent.cohort.candidates import Reader
from neurolatent.cohort.readers.bids import read_bids
from neurolatent.cohort.readers.ixi import read_ixi
from neurolatent.errors import CohortError

READERS: dict[str, Reader] = {"bids": read_bids, "ixi": read_ixi}


def choose_reader(name: str) -> Reader:
    """Return the reader of that name."""
    if name not in READERS:
        msg = f"Unknown reader {name!r}; choose from {sorted(READERS)}."
        raise CohortError(msg)
    return READERS[name]
