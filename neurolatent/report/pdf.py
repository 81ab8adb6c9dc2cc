"""The summary as a tagged PDF, set by typst from data, never from markup."""

import json
import shutil
import tempfile
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import typst

from neurolatent.content import content_folder
from neurolatent.errors import SettingsError
from neurolatent.report.records import Figure, Summary

TEMPLATE = "report.typ"
DATA = "summary.json"
FORBIDDEN_CONTROLS = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "\ufffd")
SUFFIXES = {"image/svg+xml": ".svg", "image/png": ".png"}


def render_pdf(summary: Summary) -> bytes:
    """Set the summary: A4, tagged, with alternative texts, in fonts that come with the libraries."""
    with tempfile.TemporaryDirectory(prefix="neurolatent-report-") as name:
        root = Path(name)
        shutil.copytree(content_folder("reports"), root, dirs_exist_ok=True)
        (root / "figures").mkdir()
        (root / DATA).write_text(json.dumps(_plain(summary, root), ensure_ascii=False), encoding="utf-8")
        fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
        try:
            content = typst.compile(
                root / TEMPLATE,
                root=root,
                font_paths=[fonts],
                ignore_system_fonts=True,
                format="pdf",
                pdf_standards=["ua-1"],
                timestamp=0,
            )
        except typst.TypstError as error:
            msg = f"{TEMPLATE}: typst could not set the report: {error.message}. Correct the template."
            raise SettingsError(msg) from error
    if not isinstance(content, bytes):
        msg = f"{TEMPLATE}: expected one PDF from typst, got {type(content).__name__}. Reinstall typst."
        raise SettingsError(msg)
    return content


def _plain(value: Any, root: Path) -> Any:
    """Turn records into JSON-like values; a picture becomes a file below the root and its name."""
    if isinstance(value, Figure):
        return _stored(value, root)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name), root) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(one, root) for one in value]
    return value.translate(FORBIDDEN_CONTROLS) if isinstance(value, str) else value


def _stored(figure: Figure, root: Path) -> dict[str, Any]:
    number = sum(1 for _ in (root / "figures").iterdir())
    path = root / "figures" / f"{number}{SUFFIXES[figure.media_type]}"
    path.write_bytes(figure.content)
    texts = {name: text for name, text in asdict(figure).items() if name in {"name", "title", "caption", "alt"}}
    return {
        **{name: text.translate(FORBIDDEN_CONTROLS) for name, text in texts.items()},
        "path": f"figures/{path.name}",
    }
