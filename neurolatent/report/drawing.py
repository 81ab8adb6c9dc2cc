"""The figures' one style, and how a drawing becomes bytes: the same bytes for the same numbers."""

import io
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet

from neurolatent.analysis.finding import Estimate
from neurolatent.report import numbers

# Okabe & Ito's colours: the model is the only strong one, what it is held against is grey or hollow.
BLUE, VERMILION, GREEN, ORANGE, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7"
INK, GREY, PALE = "#1f2933", "#6b7680", "#d5dade"
ROLE_COLOURS = {"model": BLUE, "baseline": GREY, "ceiling": INK}
DASHED = (0, (3, 2))
WIDTH_INCHES = 6.7
IMAGE_DPI = 200
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.labelsize": 8.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "text.color": INK,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "neurolatent",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextmanager
def sheet(height_inches: float) -> Generator[Sheet]:
    """Give an empty drawing of the page's width, in the report's style."""
    with mpl.rc_context(STYLE):
        yield Sheet(figsize=(WIDTH_INCHES, height_inches), layout="constrained")


def to_svg(drawing: Sheet) -> bytes:
    """Encode a drawing as SVG; letters become outlines, so it looks alike everywhere."""
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="svg", dpi=IMAGE_DPI, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def forest(axes: Axes, rows: Sequence[Estimate], *, reference: float | None = None) -> None:
    """Draw one quantity of several methods as points with intervals, their numbers in a column on the right."""
    decimals = numbers.decimals_for(rows)
    for place, row in enumerate(rows):
        colour = ROLE_COLOURS[row.role]
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.6, solid_capstyle="round")
        filled = colour if row.role != "ceiling" else "white"
        axes.plot([row.value], [place], "o", color=colour, markerfacecolor=filled, markersize=5.5, clip_on=False)
        label = f"{numbers.number(row.value, decimals)}\n{numbers.interval(row.low, row.high, decimals)}"
        axes.annotate(label, (1.03, place), xycoords=("axes fraction", "data"), va="center", fontsize=7, color=colour)
    if reference is not None:
        axes.axvline(reference, color=GREY, linewidth=0.8, linestyle=DASHED, zorder=0)
    axes.set_yticks(range(len(rows)), [role_label(row).replace(" (", "\n(") for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.06)


def role_label(row: Estimate) -> str:
    """Name a method and what it is, once."""
    if row.role in row.model:
        return row.model
    return f"{row.model} (the model)" if row.role == "model" else f"{row.model} ({row.role})"


def pick(rows: Sequence[Estimate], name: str, group: str) -> list[Estimate]:
    """Return one quantity's rows in one group, model first, without differences."""
    order = ("model", "baseline", "ceiling")
    chosen = [row for row in rows if row.name == name and row.group == group and row.role in order]
    return sorted(chosen, key=lambda row: order.index(row.role))
