"""The words that do not depend on results: what each analysis asks, how it is read, how it was done."""

import tomllib
from dataclasses import dataclass, fields
from typing import Any

from neurolatent.content import content_folder
from neurolatent.errors import SettingsError


@dataclass(frozen=True)
class Wording:
    """The fixed words of one analysis."""

    title: str
    question: str = ""
    how_to_read: str = ""
    method: str = ""
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class MethodsWording:
    """The sentences of the methods text, with places for settings and counts in braces."""

    participants: str
    simulated: str
    real: str
    holdout: str
    folds: str
    sites: str
    test_only: str
    preprocessing: str
    grid: str
    model: str
    without_labels: str
    with_labels: str
    statistics: str
    references: tuple[str, ...]


def wording(protocol: str, title: str) -> Wording:
    """Read an analysis' words from `reports/analyses`; one without a file there has its own title and no more."""
    names = {path.stem for path in (content_folder("reports") / "analyses").glob("*.toml")}
    return Wording(**_read(f"analyses/{protocol}.toml", Wording)) if protocol in names else Wording(title)


def methods_wording() -> MethodsWording:
    """Read the sentences of the methods text."""
    return MethodsWording(**_read("methods.toml", MethodsWording))


def _read(name: str, record: type[Wording | MethodsWording]) -> dict[str, Any]:
    content = tomllib.loads((content_folder("reports") / name).read_text(encoding="utf-8"))
    known = {field.name for field in fields(record)}
    if set(content) != known:
        msg = f"reports/{name}: expected the keys {sorted(known)}, got {sorted(content)}. Correct the file."
        raise SettingsError(msg)
    return {
        key: _joined(value) if isinstance(value, str) else tuple(map(_joined, value)) for key, value in content.items()
    }


def _joined(text: str) -> str:
    """Join wrapped lines; a space at either end, which joins sentences, stays."""
    before, after = " " * text.startswith(" "), " " * text.endswith(" ")
    return before + " ".join(text.split()) + after
