"""Small source folders, written the way real ones are."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest

from neurolatent.workspace import Workspace

Write = Callable[..., Path]


def _table(path: Path, rows: Sequence[Sequence[object]], delimiter: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(delimiter.join(map(str, row)) for row in rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def write_tsv() -> Write:
    return lambda path, *rows: _table(path, rows, "\t")


@pytest.fixture
def write_csv() -> Write:
    return lambda path, *rows: _table(path, rows, ",")


@pytest.fixture
def write_image() -> Write:
    """Write bytes that stand for an image: building a cohort never looks inside."""

    def write(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
        return path

    return write


@pytest.fixture
def bids(tmp_path: Path, write_tsv: Write, write_image: Write) -> Callable[..., Path]:
    """Write a raw BIDS data set from `{participant: [session, …]}`, where `""` means no session level."""

    def write(people: Mapping[str, Sequence[str]], *participants: Sequence[object]) -> Path:
        root = tmp_path / "source"
        for person, sessions in people.items():
            for session in sessions:
                folder = root / person / session / "anat"
                write_image(folder / f"{'_'.join(filter(None, [person, session]))}_T1w.nii.gz")
        if participants:
            write_tsv(root / "participants.tsv", ("participant_id", "age", "sex"), *participants)
        return root

    return write


@pytest.fixture
def write_xlsx() -> Write:
    """Write the smallest workbook with one sheet; `None` leaves a cell out."""
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"

    def cell(name: str, value: object) -> str:
        if value is None:
            return ""
        if isinstance(value, (int, float)):
            return f'<c r="{name}"><v>{value}</v></c>'
        return f'<c r="{name}" t="inlineStr"><is><t>{value}</t></is></c>'

    def write(path: Path, *rows: Sequence[object], sheet: str = "Table") -> Path:
        lines = "".join(
            f'<row r="{i}">{"".join(cell(f"{chr(65 + j)}{i}", value) for j, value in enumerate(row))}</row>'
            for i, row in enumerate(rows, start=1)
        )
        kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
        files = {
            "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
            f'<Override PartName="/xl/sheet.xml" ContentType="{kind}.worksheet+xml"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
            f'<Relationship Id="r1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
            "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}">'
            f'<sheets><sheet name="{sheet}" sheetId="1" r:id="r1"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
            f'<Relationship Id="r1" Type="{office}/worksheet" Target="sheet.xml"/></Relationships>',
            "xl/sheet.xml": f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>',
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with ZipFile(path, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + text)
        return path

    return write
