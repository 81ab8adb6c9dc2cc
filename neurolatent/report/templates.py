"""The folder of templates, opened the one way in which every value is escaped."""

import base64
import hashlib

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from neurolatent.content import content_folder

STYLE = "style.css"


def open_templates() -> Environment:
    """Return the environment that renders `reports/`."""
    return Environment(
        loader=FileSystemLoader(content_folder("reports")),
        autoescape=True,  # for every name: by suffix, `.html.j2` would go unescaped
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def read_style() -> str:
    """Return the style sheet that all pages share."""
    return (content_folder("reports") / STYLE).read_text(encoding="utf-8")


def source_hash(text: str) -> str:
    """Return how a content security policy names a style or a script of the page's own."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
