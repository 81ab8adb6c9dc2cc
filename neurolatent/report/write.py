"""Write both reports of a workspace, whole or not at all."""

from collections.abc import Generator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

from neurolatent.cohort.sidecar import read_sidecar
from neurolatent.provenance import whole_file, write_text
from neurolatent.report.html import render_html
from neurolatent.report.pdf import render_pdf
from neurolatent.report.privacy import refuse_private
from neurolatent.report.records import Summary
from neurolatent.report.summary import summarise
from neurolatent.workspace import Workspace


def write_report(workspace: Workspace | Path, *, run: str, preprocessing: Path | None = None) -> tuple[Path, Path]:
    """Write `report.html` and `report.pdf`, and return their paths; neither is touched where one cannot be made."""
    place = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    summary = summarise(place, run=run, preprocessing=preprocessing)
    sidecars = [place.visits_json, *([Workspace(preprocessing).visits_json] if preprocessing else [])]
    roots = [str(root) for path in sidecars for root in read_sidecar(path).source_roots]
    return write_summary(summary, place, roots)


def write_summary(summary: Summary, place: Workspace, source_roots: Sequence[str]) -> tuple[Path, Path]:
    """Write a summary as both reports, unless it shows where the raw scans lie."""
    refuse_private(texts_of(summary), source_roots)
    page, document = render_html(summary), render_pdf(summary)
    write_text(place.report_html, page)
    with whole_file(place.report_pdf) as temporary:
        temporary.write_bytes(document)
    return place.report_html, place.report_pdf


def texts_of(value: object) -> Generator[str]:
    """Give every text in a record, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from texts_of(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from texts_of(getattr(value, field.name))
