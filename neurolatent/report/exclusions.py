"""Why scans were left out, in words that neither quote a cell nor name a file: both may tell whose it is, or when."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from neurolatent.cohort import exclusion
from neurolatent.cohort.visits import COLUMNS
from neurolatent.report import numbers
from neurolatent.report.privacy import scrub
from neurolatent.report.records import Exclusion
from neurolatent.report.verdict import capital

QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
OF_SOMEBODY = re.compile(r"\b(rows?|scan|image|record) (?:for|of) \S+")
FILES = re.compile(r"\S+\.(?:nii|img|hdr|mgz|mgh|dcm|ima|json|tsv|csv)(?:\.gz)?\b", re.IGNORECASE)
PRIVATE = re.compile(r"\S*(?:[_/\\^@]|[A-Za-z]\d|\d[A-Za-z]|\d{4})\S*")
"""Words with what names, paths and dates have, and limits have not."""
HIDDEN = "…"
OTHER_IMAGE = "Another image of the visit is taken"


def count_exclusions(rows: Iterable[exclusion.Exclusion], roots: Sequence[str]) -> tuple[Exclusion, ...]:
    """Return each reason with the number of its scans; `visits.json` lists them one by one."""
    counts = Counter((capital(scrub(_in_general(row), roots)), row.severity) for row in rows)
    return tuple(Exclusion(*why, (numbers.count(count, "scan", "scans"),)) for why, count in counts.items())


def without_names(reason: str) -> str:
    """Take files' names and quotations out of what was wrong with an image; its measures stay."""
    return FILES.sub("the file", QUOTED.sub(HIDDEN, reason))


def _in_general(row: exclusion.Exclusion) -> str:
    """Say what was expected; what came instead is a cell of somebody's."""
    if row.stage == "choice":
        return OTHER_IMAGE
    if row.stage == "filter":
        return row.reason.partition(": ")[0].rstrip(".")
    wanted = row.reason.partition(", got")[0].partition(", found")[0].rstrip(".")
    wanted = OF_SOMEBODY.sub(rf"\1 for {HIDDEN}", QUOTED.sub(HIDDEN, wanted))
    return PRIVATE.sub(lambda word: word[0] if word[0].strip("(),;:.") in COLUMNS else HIDDEN, wanted)
