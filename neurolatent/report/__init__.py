"""From findings to one typed summary, and from that to HTML and PDF."""

from neurolatent.report.html import render_html
from neurolatent.report.pdf import render_pdf
from neurolatent.report.records import Summary
from neurolatent.report.summary import summarise
from neurolatent.report.write import write_report

__all__ = ["Summary", "render_html", "render_pdf", "summarise", "write_report"]
