"""Split by subject, so that no person is on both sides; once written, an assignment never changes."""

from neurolatent.cohort.splits.files import read_split, write_split
from neurolatent.cohort.splits.making import extend_split, make_split
from neurolatent.cohort.splits.record import PARTS, Kind, Round, Split

__all__ = ["PARTS", "Kind", "Round", "Split", "extend_split", "make_split", "read_split", "write_split"]
