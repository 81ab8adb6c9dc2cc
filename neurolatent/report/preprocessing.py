"""How scans came to standard space: quality measures, and the pictures that preprocessing left."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from neurolatent.errors import SettingsError
from neurolatent.report import numbers
from neurolatent.report.columns import read_columns
from neurolatent.report.records import Cell, Figure, Head, PreprocessingPart, Row, Table
from neurolatent.report.verdict import capital
from neurolatent.shapes import Values
from neurolatent.workspace import ScanKey, Workspace

MAX_PICTURES = 12
MAX_WIDTH_PIXELS = 1100


def preprocessing_part(workspace: Workspace, other: Workspace | None) -> PreprocessingPart:
    """Describe preprocessing from the workspace's files, and from a second one that started from raw scans."""
    places = [place for place in (other, workspace) if place is not None]
    paths = [path for place in places for path in sorted((place.derivatives / "qc").glob("*.png"))]
    shown = paths[:MAX_PICTURES]
    note = "" if len(paths) == len(shown) else f"The first {len(shown)} of {len(paths)} pictures are shown."
    if not paths:
        note = "Preprocessing left no pictures: the scans came in standard space already."
    quality = next((table for place in places if (table := _quality(place.quality_tsv)) is not None), None)
    return PreprocessingPart(quality, tuple(_picture(path) for path in shown), note)


def _quality(path: Path) -> Table | None:
    if not path.is_file():
        return None
    rows = read_columns(path, expected=ScanKey._fields)
    measures = [name for name in rows.texts if name not in ScanKey._fields and rows.is_numeric(name)]
    heads = (Head("Measure"), Head("Median"), Head("Least"), Head("Greatest"), Head("Scans"))
    lines = tuple(_measure(name, rows.numbers(name)) for name in measures)
    return Table("Quality of the preprocessed scans", heads, lines) if lines else None


def _measure(name: str, values: Values) -> Row:
    known = values[np.isfinite(values)]
    shown = [numbers.short(float(value)) for value in (np.median(known), known.min(), known.max())]
    return Row(capital(name.replace("_", " ")), "", (*map(Cell, shown), Cell(str(len(known)))))


def _picture(path: Path) -> Figure:
    """Re-encode a picture: smaller, and without any text that the file may carry."""
    try:
        with Image.open(path) as image:
            image.load()
            plain = image.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        msg = f"{path}: expected a PNG picture, got a damaged file. Run `neurolatent preprocess` again."
        raise SettingsError(msg) from error
    plain.thumbnail((MAX_WIDTH_PIXELS, MAX_WIDTH_PIXELS))
    buffer = io.BytesIO()
    plain.quantize(256).save(buffer, format="PNG", optimize=True)
    scan = path.stem
    return Figure(
        name=f"preprocessing-{scan}",
        title=scan,
        caption=f"{scan}: in standard space.",
        alt=f"Slices of the scan {scan} in standard space, as preprocessing left it.",
        media_type="image/png",
        content=buffer.getvalue(),
    )
