"""Keep raw paths and exam dates out of a report that is handed on."""

import re
from collections.abc import Iterable

from neurolatent.cohort.privacy import DATE
from neurolatent.errors import SettingsError

FOLDERS = re.compile(r"(?<![\w/:.])(?:~|[A-Za-z]:)?[/\\](?:[^\s'\",;:()/\\]+[/\\])+")


def scrub(text: str, source_roots: Iterable[str]) -> str:
    """Return the text without source folders, other absolute folders, and dates; file names stay."""
    for root in _telling(source_roots):
        text = text.replace(f"{root}/", "").replace(root, "the source folder")
    return DATE.sub("[date]", FOLDERS.sub("", text))


def refuse_private(texts: Iterable[str], source_roots: Iterable[str]) -> None:
    """Stop a report that still names where the raw scans lie."""
    roots = _telling(source_roots)
    for text in texts:
        for root in roots:
            if root in text:
                shown = f"in {text[:80]!r}"
                msg = (
                    f"The report would show the source folder {root}, {shown}. Nothing was written; rename the folder."
                )
                raise SettingsError(msg)


def _telling(source_roots: Iterable[str]) -> list[str]:
    """Return the roots that tell anything, without a last slash, longest first; `.` and `/` do not."""
    roots = {root.rstrip("/") for root in source_roots}
    return sorted((root for root in roots if len(root) > 1), key=len, reverse=True)
