"""How scans came to standard space: what failed, quality measures, and the pictures that preprocessing left."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from neurolatent.cohort.visits import MISSING
from neurolatent.errors import SettingsError
from neurolatent.report import numbers
from neurolatent.report.columns import Columns, read_columns
from neurolatent.report.exclusions import without_names
from neurolatent.report.privacy import scrub
from neurolatent.report.records import Cell, Exclusion, Figure, Head, PreprocessingPart, Row, Table
from neurolatent.report.verdict import capital
from neurolatent.shapes import Values
from neurolatent.workspace import ScanKey, Workspace

MAX_PICTURES = 12
LEAST_WIDTH_PIXELS, MOST_WIDTH_PIXELS = 720, 1100
"""Small pictures are enlarged smoothly: a PDF viewer would show their pixels."""
LABELS = {
    "mask_volume_ml": "Mask (mL)",
    "intracranial_ml": "Intracranial volume (mL)",
    "template_overlap": "Overlap with the template's mask (Dice)",
    "coverage": "Share of the template's brain in the field of view",
    "affine_correlation": "Correlation of the template with the mean of the person's scans",
    "rigid_correlation": "Correlation of the scan with that mean",
    "template_scale": "Volume scale of the transform to the template",
    "template_similarity": "Correlation with the template in standard space",
    "signal_to_noise": "Signal to noise in white matter",
    "contrast_to_noise": "Contrast of white to grey matter, over noise",
    "mask_smoothness": "Smoothness of the mask's surface",
    "bias_strength": "Strength of the bias field removed",
    "clipped_share": "Share of the brain at the scan's highest value",
    "ringing": "Ghosts in the air, over the brain's intensity",
}


def preprocessing_part(
    workspace: Workspace, other: Workspace | None, source_roots: tuple[str, ...]
) -> PreprocessingPart:
    """Describe preprocessing from the workspace's files, and from a second one that started from raw scans."""
    places = {"Quality of the raw scans": other, "Quality of the cohort's scans": workspace}
    present = {caption: place for caption, place in places.items() if place is not None}
    paths = [path for place in present.values() for path in sorted((place.derivatives / "qc").glob("*.png"))]
    raw = other.derivatives if other is not None else None
    tables = {
        caption: read_columns(place.quality_tsv, expected=ScanKey._fields)
        for caption, place in present.items()
        if place.quality_tsv.is_file()
    }
    quality = [_quality(rows, caption) for caption, rows in tables.items()]
    return PreprocessingPart(
        quality=tuple(table for table in quality if table is not None),
        failures=_failures(tables.values(), source_roots),
        pictures=tuple(_picture(path, raw=path.parent.parent == raw) for path in paths[:MAX_PICTURES]),
        note=_note(len(paths)),
    )


def _note(pictures: int) -> str:
    if pictures == 0:
        return "There are no pictures: no scan was preprocessed."
    return f"The first {MAX_PICTURES} of {pictures} pictures are shown." if pictures > MAX_PICTURES else ""


def _failures(tables: Iterable[Columns], source_roots: tuple[str, ...]) -> tuple[Exclusion, ...]:
    """Group the scans that failed by their reason."""
    grouped: dict[str, list[str]] = {}
    for rows in tables:
        if {"status", "reason"} <= rows.texts.keys():
            keys = zip(*(rows.texts[name] for name in ScanKey._fields), strict=True)
            for key, status, reason in zip(keys, rows.texts["status"], rows.texts["reason"], strict=True):
                if status == "failed":
                    grouped.setdefault(capital(without_names(scrub(reason, source_roots))), []).append("/".join(key))
    return tuple(Exclusion(reason, "failed", tuple(where)) for reason, where in grouped.items())


def _quality(rows: Columns, caption: str) -> Table | None:
    heads = (Head("Measure"), Head("Median"), Head("Least"), Head("Greatest"), Head("Scans"))
    measures = [name for name in rows.texts if name not in ScanKey._fields and rows.is_numeric(name)]
    lines = tuple(_measure(name, rows.numbers(name)) for name in measures)
    return Table(caption, heads, lines) if lines else None


def _measure(name: str, values: Values) -> Row:
    known = values[np.isfinite(values)]
    shown = [numbers.short(float(value)) for value in (np.median(known), known.min(), known.max())]
    label = LABELS.get(name, capital(name.replace("_", " ")))
    return Row(label, "", (*map(Cell, shown), Cell(str(len(known)))))


def _picture(path: Path, *, raw: bool) -> Figure:
    """Re-encode a picture: at a fitting size, and without any text that the file may carry."""
    try:
        with Image.open(path) as image:
            image.load()
            plain = image.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        msg = f"{path}: expected a PNG picture, got a damaged file. Run `neurolatent preprocess` again."
        raise SettingsError(msg) from error
    width = min(max(plain.width, LEAST_WIDTH_PIXELS), MOST_WIDTH_PIXELS)
    fitted = plain.resize((width, round(plain.height * width / plain.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    fitted.quantize(256).save(buffer, format="PNG", optimize=True)
    scan = ", ".join(part for part in path.stem.split("_") if part != MISSING)
    return Figure(
        name=f"preprocessing-{'raw-' if raw else ''}{path.stem}",
        title=scan,
        caption=f"The {'raw ' if raw else ''}scan in standard space: its mask red, the template's blue, both yellow.",
        alt=f"Sagittal, coronal and axial slices of {scan} in standard space, its mask and the template's outlined.",
        media_type="image/png",
        content=buffer.getvalue(),
    )
