"""The summary as one HTML file that asks the network for nothing."""

import base64

from markupsafe import Markup

from neurolatent.report.records import Figure, Summary
from neurolatent.report.templates import open_templates, read_style, source_hash

PAGE = "page.html.j2"


def render_html(summary: Summary) -> str:
    """Fill the page; every value is escaped, and the policy in its head forbids scripts and requests."""
    environment, style = open_templates(), read_style()
    environment.filters["data_uri"] = data_uri
    return environment.get_template(PAGE).render(summary=summary, style=Markup(style), policy=policy(style))  # noqa: S704  our own file


def data_uri(figure: Figure) -> str:
    """Return a picture as an address that holds it."""
    return f"data:{figure.media_type};base64,{base64.b64encode(figure.content).decode('ascii')}"


def policy(style: str) -> str:
    """Return the content security policy: our style by its hash, pictures from the page itself, nothing else."""
    return f"default-src 'none'; style-src {source_hash(style)}; img-src data:; base-uri 'none'; form-action 'none'"
