"""The page on which a person looks at each preprocessed scan and passes or fails it."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jinja2 import Template
from markupsafe import Markup

from neurolatent.cohort.visits import MISSING
from neurolatent.errors import SettingsError, TableError
from neurolatent.provenance import hash_settings, write_text
from neurolatent.report.columns import Columns, read_columns
from neurolatent.report.preprocessing import LABELS
from neurolatent.report.privacy import scrub
from neurolatent.report.templates import open_templates, read_style, source_hash
from neurolatent.report.verdict import capital
from neurolatent.volume.outliers import kind
from neurolatent.volume.pictures import CONTOUR, SHARED_CONTOUR, TEMPLATE_CONTOUR
from neurolatent.volume.review import COLUMNS, Verdict, read_review
from neurolatent.workspace import ScanKey, Workspace

PAGE = "quality.html.j2"
NOT_MEASURES = frozenset({*ScanKey._fields, "status", "reason", "flags"})
FAILED = "failed"
OUTLINES = (
    (CONTOUR, "the scan's own intracranial mask"),
    (TEMPLATE_CONTOUR, "the template's intracranial space"),
    (SHARED_CONTOUR, "both, where they run together"),
)


@dataclass(frozen=True)
class Choice:
    """One entry of a filter."""

    value: str
    label: str
    count: int


@dataclass(frozen=True)
class Card:
    """One scan as it is shown."""

    key: ScanKey
    name: str
    status: str
    reason: str
    flags: tuple[str, ...]
    kinds: tuple[str, ...]
    overlap: float
    """With the template's mask; infinite where unknown, so that it sorts last."""
    picture: str
    """Its address relative to the page; empty where there is none."""
    absence: str
    measures: tuple[tuple[str, str], ...]
    verdict: str
    note: str

    @property
    def urgency(self) -> tuple[object, ...]:
        """Sort by this for the worst first."""
        return (self.status != FAILED, -len(self.flags), self.overlap, self.key)


@dataclass(frozen=True)
class QualityPage:
    """Everything that the page says."""

    title: str
    subtitle: str
    contents: str
    """Hash of the table: the browser keeps verdicts under it, so that none outlives the scans that it was about."""
    cards: tuple[Card, ...]
    kinds: tuple[Choice, ...]
    statuses: tuple[Choice, ...]
    outlines: tuple[tuple[str, str], ...]
    """Colours and what they mean."""
    gone: tuple[tuple[ScanKey, Verdict], ...]
    """Verdicts on scans that the table does not have: exported again, so that none is lost."""
    columns: tuple[str, ...]
    """Of the file that is exported."""


def write_page(workspace: Workspace) -> None:
    """Write the page of a preprocessed workspace."""
    write_quality_page(
        workspace.quality_html,
        workspace.quality_tsv,
        workspace.review_tsv,
        workspace.derivatives / "qc",
        title="Quality of the preprocessed scans",
    )


def write_quality_page(path: Path, table: Path, review: Path, pictures: Path, *, title: str) -> None:
    """Write the page of one cohort.

    Args:
        path: The page, in the folder that holds `pictures` or above it: they are linked, not copied.
        table: `quality.tsv`.
        review: The verdicts given so far; it may be absent.
        pictures: The folder of the scans' pictures.
        title: Of the page.

    Raises:
        TableError: If the table is absent or lacks a column.
        ScanError: If the review cannot be used.
        SettingsError: If the pictures do not lie below the page's folder.
    """
    write_text(path, render_quality_page(_page(table, review, _picture_addresses(path, pictures), title)))


def render_quality_page(page: QualityPage) -> str:
    """Fill the page; every value is escaped, and the policy allows its own script, its own style and local pictures."""
    template, style = open_templates().get_template(PAGE), read_style()
    styles, scripts = (style, _block(template, "style")), (_block(template, "script"),)
    return template.render(page=page, style=Markup(style), policy=_policy(styles, scripts))  # noqa: S704  our own file


def _block(template: Template, name: str) -> str:
    return "".join(template.blocks[name](template.new_context()))


def _policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    """Return the content security policy: our style and script by their hashes, pictures beside the page."""
    style, script = (" ".join(map(source_hash, texts)) for texts in (styles, scripts))
    allowed = f"style-src {style}; script-src {script}; img-src 'self' file:"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _picture_addresses(path: Path, pictures: Path) -> dict[str, str]:
    """Return the address of each picture, by its file's name."""
    folder, place = path.parent.resolve(), pictures.resolve()
    if not place.is_relative_to(folder):
        msg = f"{pictures}: expected the pictures below the page's folder {folder}. Write the page beside them."
        raise SettingsError(msg)
    parts = place.relative_to(folder).parts
    return {file.name: "/".join(quote(part, safe="") for part in (*parts, file.name)) for file in place.glob("*.png")}


def _page(table: Path, review: Path, addresses: Mapping[str, str], title: str) -> QualityPage:
    if not table.is_file():
        msg = f"{table}: expected the table of quality, found none. Run `neurolatent preprocess` first."
        raise TableError(msg)
    rows = read_columns(table, expected=(*ScanKey._fields, "status"))
    verdicts = read_review(review)
    cards = sorted((_card(cells, addresses, verdicts) for cells in _cells(rows)), key=lambda card: card.urgency)
    known = {card.key for card in cards}
    return QualityPage(
        title=scrub(title, ()),
        subtitle=_subtitle(cards),
        contents=hash_settings({name: list(texts) for name, texts in rows.texts.items()}),
        cards=tuple(cards),
        kinds=_choices(one for card in cards for one in card.kinds),
        statuses=_choices(card.status for card in cards),
        outlines=tuple((_hexadecimal(colour), meaning) for colour, meaning in OUTLINES),
        gone=tuple((key, _scrubbed(verdict)) for key, verdict in verdicts.items() if key not in known),
        columns=COLUMNS,
    )


def _cells(rows: Columns) -> list[dict[str, str]]:
    return [dict(zip(rows.texts, cells, strict=True)) for cells in zip(*rows.texts.values(), strict=True)]


def _card(cells: Mapping[str, str], addresses: Mapping[str, str], verdicts: Mapping[ScanKey, Verdict]) -> Card:
    key = ScanKey(*(cells[column] for column in ScanKey._fields))
    flags = tuple(one for part in _known(cells.get("flags", MISSING)).split(";") if (one := part.strip()))
    verdict = verdicts.get(key)
    status = cells["status"]
    return Card(
        key=key,
        name=f"{key.participant_id}, {key.session_id}, run {key.run}",
        status=status,
        reason=capital(_known(cells.get("reason", MISSING))),
        flags=tuple(map(_plain, flags)),
        kinds=tuple(dict.fromkeys(_plain(kind(flag)) for flag in flags)),
        overlap=_number(cells.get("template_overlap", MISSING)),
        picture=addresses.get(f"{key.participant_id}_{key.session_id}_run-{key.run}.png", ""),
        absence="No picture: preprocessing failed." if status == FAILED else "No picture.",
        measures=tuple((_label(name), scrub(text, ())) for name, text in cells.items() if name not in NOT_MEASURES),
        verdict=verdict.word if verdict else "",
        note=scrub(verdict.note, ()) if verdict else "",
    )


def _scrubbed(verdict: Verdict) -> Verdict:
    return Verdict(verdict.passed, scrub(verdict.note, ()))


def _known(text: str) -> str:
    return "" if text == MISSING else scrub(text, ()).strip()


def _plain(text: str) -> str:
    return capital(text.replace("_", " "))


def _label(name: str) -> str:
    return LABELS.get(name, _plain(name))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.inf
    return value if math.isfinite(value) else math.inf


def _choices(values: Iterable[str]) -> tuple[Choice, ...]:
    """Count what there is, the most frequent first."""
    counted = sorted(Counter(values).items(), key=lambda one: (-one[1], one[0]))
    return tuple(Choice(value, capital(value), count) for value, count in counted)


def _subtitle(cards: Sequence[Card]) -> str:
    failed, flagged = sum(card.status == FAILED for card in cards), sum(bool(card.flags) for card in cards)
    scans = "1 scan" if len(cards) == 1 else f"{len(cards)} scans"
    return f"{scans}: {failed} could not be preprocessed, {flagged} flagged. The worst come first."


def _hexadecimal(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)
