"""Readers: from a cohort's own folders and tables to candidates, chosen by name."""

from neurolatent.cohort.candidates import Reader
from neurolatent.cohort.readers.adni import read_adni
from neurolatent.cohort.readers.aibl import read_aibl
from neurolatent.cohort.readers.bids import read_bids
from neurolatent.cohort.readers.names import read_names
from neurolatent.cohort.readers.oasis3 import read_oasis3
from neurolatent.cohort.readers.table import read_scans
from neurolatent.errors import CohortError

READERS: dict[str, Reader] = {
    "adni": read_adni,
    "aibl": read_aibl,
    "bids": read_bids,
    "names": read_names,
    "oasis3": read_oasis3,
    "table": read_scans,
}


def choose_reader(name: str) -> Reader:
    """Return the reader of that name."""
    if name not in READERS:
        msg = f"Unknown reader {name!r}; choose from {sorted(READERS)}."
        raise CohortError(msg)
    return READERS[name]
