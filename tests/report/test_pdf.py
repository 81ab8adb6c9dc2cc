"""The PDF is tagged, complete, and made from data alone."""

import io
from dataclasses import replace

import pytest
from pypdf import PdfReader
from pypdf.generic import DictionaryObject

from neurolatent.report.pdf import render_pdf
from neurolatent.report.records import Summary
from neurolatent.report.summary import summarise
from neurolatent.workspace import Workspace

HOSTILE = '#panic("run") $x$ *bold* <script> \\ @label ' + "long" * 60


def text_of(content: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages).split())


@pytest.fixture(scope="session")
def document(summary: Summary) -> bytes:
    return render_pdf(summary)


def test_it_opens_with_a_title_a_language_and_pages(document: bytes, summary: Summary) -> None:
    reader = PdfReader(io.BytesIO(document))
    assert reader.metadata is not None
    assert reader.metadata.title == summary.title
    assert str(reader.root_object["/Lang"]) == "en"
    assert 6 <= len(reader.pages) <= 20


def test_the_first_page_holds_every_verdict(document: bytes, summary: Summary) -> None:
    first = " ".join(PdfReader(io.BytesIO(document)).pages[0].extract_text().split())
    assert " ".join(summary.answer.split()) in first
    assert all(one.word in first and one.title in first for one in summary.verdicts)
    assert "Simulation" in first


def test_every_number_of_the_tables_is_there(document: bytes, summary: Summary) -> None:
    text = text_of(document)
    cells = [cell.value for one in summary.sections for table in one.tables for row in table.rows for cell in row.cells]
    assert [value for value in cells if value not in text] == []


def test_every_figure_has_its_alternative_text(document: bytes, summary: Summary) -> None:
    found: list[str] = []

    def walk(node: object) -> None:
        if isinstance(node, DictionaryObject):
            if "/Alt" in node:
                found.append(str(node["/Alt"]))
            children = node.get("/K")
            resolved = children.get_object() if children is not None else None
            for child in resolved if isinstance(resolved, list) else [resolved]:
                walk(child.get_object() if child is not None and not isinstance(child, int) else None)

    walk(PdfReader(io.BytesIO(document)).root_object["/StructTreeRoot"])
    figures = [one.figure for one in summary.sections if one.figure] + list(summary.preprocessing.pictures)
    assert {one.alt for one in figures} <= set(found)


def test_only_fonts_that_come_along_are_used(document: bytes) -> None:
    names: set[str] = set()
    for page in PdfReader(io.BytesIO(document)).pages:
        fonts = page["/Resources"].get_object().get("/Font", {})
        names |= {str(font.get_object()["/BaseFont"]).partition("+")[2] for font in fonts.values()}
    assert {name for name in names if not name.startswith(("Libertinus", "DejaVu"))} == set()


def test_hostile_text_is_data_and_not_markup(summary: Summary) -> None:
    section = replace(summary.sections[0], notes=(HOSTILE,), title=HOSTILE)
    text = text_of(render_pdf(replace(summary, title=HOSTILE, sections=(section,))))
    assert '#panic("run") $x$ *bold* <script>' in text


def test_a_control_character_does_not_stop_the_report(summary: Summary) -> None:
    assert render_pdf(replace(summary, subtitle="a\x00b\x1bc", sections=())).startswith(b"%PDF")


def test_it_works_without_findings(built: Workspace) -> None:
    assert text_of(render_pdf(summarise(built, run="another"))).count("Not run") == 5


def test_the_same_summary_gives_the_same_bytes(summary: Summary, document: bytes) -> None:
    assert render_pdf(summary) == document
