"""The summary as one HTML file that asks the network for nothing."""

import base64
import hashlib

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from neurolatent.content import content_folder
from neurolatent.report.records import Figure, Summary

PAGE = "page.html.j2"
STYLE = "style.css"


def render_html(summary: Summary) -> str:
    """Fill the page; every value is escaped, and the policy in its head forbids scripts and requests."""
    folder = content_folder("reports")
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,  # for every name: by suffix, `.html.j2` would go unescaped
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["data_uri"] = data_uri
    style = (folder / STYLE).read_text(encoding="utf-8")
    return environment.get_template(PAGE).render(summary=summary, style=Markup(style), policy=policy(style))  # noqa: S704  our own file


def data_uri(figure: Figure) -> str:
    """Return a picture as an address that holds it."""
    return f"data:{figure.media_type};base64,{base64.b64encode(figure.content).decode('ascii')}"


def policy(style: str) -> str:
    """Return the content security policy: our style by its hash, pictures from the page itself, nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
