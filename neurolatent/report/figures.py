"""One function per figure: numbers in, a picture with caption and alternative text out."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from neurolatent.analysis.finding import Estimate, Finding
from neurolatent.cohort.visits import MISSING
from neurolatent.report import numbers
from neurolatent.report.columns import Columns
from neurolatent.report.drawing import (
    BLUE,
    DASHED,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    VERMILION,
    forest,
    pick,
    role_label,
    sheet,
    to_svg,
)
from neurolatent.report.records import Figure
from neurolatent.report.verdict import EVERYONE, capital

DIAGNOSIS_LABELS = {"CN": "CN", "MCI": "MCI", "AD": "AD", "other": "other", MISSING: "diagnosis not stated"}
METHOD_STYLES = (
    (BLUE, "o"),
    (VERMILION, "s"),
    (ORANGE, "D"),
    (GREEN, "v"),
    (PURPLE, "^"),
)
CURVE_POINTS = np.linspace(0, 1, 201)


def method_columns(predictions: Columns, rows: Sequence[Estimate]) -> dict[str, Estimate]:
    """Return the row of each column that holds a method's predictions: `voxel_pca` is `voxel PCA`."""
    named = {re.sub(r"\W", "_", row.model).lower(): row for row in rows}
    return {column: named[column] for column in predictions.texts if column in named}


def classification_figure(finding: Finding, predictions: Columns) -> Figure:
    """ROC curves, and the areas below them with intervals."""
    name = finding.estimates[0].name
    rows = pick(finding.estimates, name, EVERYONE)
    with sheet(2.7) as page:
        left, right = page.subplots(1, 2, width_ratios=(1.0, 1.15))
        _roc_panel(left, predictions, rows)
        forest(right, rows, reference=0.5)
        right.set_title(f"{name}, 95 % interval")
        right.set_xlabel("area under the curve (0.5 = chance)")
        content = to_svg(page)
    areas = numbers.listing(f"{row.model} {row.value:.3f}" for row in rows)
    return Figure(
        name=finding.protocol,
        title="Telling Alzheimer's disease from controls",
        caption=(
            "Left: ROC curves with AD as the positive class, averaged over the folds. Right: the area under "
            "each curve with its interval; a hollow point is a ceiling, which no code can be asked to pass."
        ),
        alt=f"ROC curves of {len(rows)} methods beside a forest plot of their {name}: {areas}.",
        media_type="image/svg+xml",
        content=content,
    )


def _roc_panel(axes: Axes, predictions: Columns, rows: Sequence[Estimate]) -> None:
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1.0, zorder=0)
    columns = method_columns(predictions, rows)
    for column, (colour, _) in zip(
        sorted(columns, key=lambda name: columns[name].role != "model"), METHOD_STYLES, strict=False
    ):
        ceiling = columns[column].role == "ceiling"
        style: dict[str, Any] = {"color": INK, "linestyle": DASHED} if ceiling else {"color": colour}
        axes.plot(CURVE_POINTS, mean_curve(predictions, column), label=columns[column].model, **style)
    axes.set_aspect("equal")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="1 − specificity for CN", ylabel="sensitivity for AD")
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([0, 0.5, 1])
    axes.set_title("ROC curves")
    axes.legend(loc="lower right", fontsize=7, handlelength=1.6, borderaxespad=0.2)


def mean_curve(predictions: Columns, column: str) -> np.ndarray:
    """Average the folds' curves, as their areas are averaged."""
    scores, truth, fold = predictions.numbers(column), predictions.numbers("truth"), predictions.text("fold")
    curves: list[np.ndarray] = []
    for name in sorted(set(fold)):
        inside = (fold == name) & np.isfinite(scores)
        if len(set(truth[inside])) == 2:
            false_rate, true_rate, _ = roc_curve(truth[inside], scores[inside])
            curves.append(np.interp(CURVE_POINTS, false_rate, true_rate))
    curve = np.mean(curves, axis=0) if curves else np.full_like(CURVE_POINTS, np.nan)
    return np.concatenate([[0.0], curve[1:]])


def age_figure(finding: Finding, predictions: Columns) -> Figure:
    """Predicted against true age, and the errors with intervals."""
    name = finding.estimates[0].name
    group = finding.estimates[0].group
    rows = pick(finding.estimates, name, group)
    column = next(name for name, row in method_columns(predictions, rows).items() if row.role == "model")
    with sheet(2.7) as page:
        left, right = page.subplots(1, 2, width_ratios=(1.0, 1.15))
        _scatter_panel(left, predictions, column)
        left.set_title(capital(rows[0].model))
        forest(right, rows)
        right.set_title(f"{name} in years, 95 % interval")
        right.set_xlabel("years (less is better)")
        content = to_svg(page)
    errors = numbers.listing(f"{row.model} {row.value:.1f}" for row in rows)
    return Figure(
        name=finding.protocol,
        title="Predicting age",
        caption=(
            f"Left: age predicted from the {rows[0].model} against true age, one point per scan of a test person; on "
            "the line they agree. Right: the error of each method with its interval."
        ),
        alt=f"Scatter of predicted against true age beside a forest plot of {name} in years: {errors}.",
        media_type="image/svg+xml",
        content=content,
    )


def _scatter_panel(axes: Axes, predictions: Columns, column: str) -> None:
    true, predicted = predictions.numbers("age_years"), predictions.numbers(column)
    diagnosis = predictions.text("diagnosis")
    shown = np.isfinite(true) & np.isfinite(predicted)
    both = np.concatenate([true[shown], predicted[shown]])
    low, high = float(both.min()) - 2, float(both.max()) + 2
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, linestyle=DASHED, zorder=0)
    groups = [name for name in DIAGNOSIS_LABELS if (diagnosis[shown] == name).any()]
    for name, (colour, marker) in zip(groups, METHOD_STYLES, strict=False):
        own = shown & (diagnosis == name)
        look: dict[str, Any] = {"color": colour, "markersize": 3.4, "alpha": 0.75, "markeredgewidth": 0}
        axes.plot(true[own], predicted[own], marker, linestyle="none", label=DIAGNOSIS_LABELS[name], **look)
    axes.set_aspect("equal")
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="true age (years)", ylabel="predicted age (years)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))
    if len(groups) > 1:
        axes.legend(loc="upper left", fontsize=7, handletextpad=0.1, borderaxespad=0.1)


def span_months(group: str) -> int | None:
    """Return the number in a group such as `span 24 months`; nothing for another group."""
    found = re.fullmatch(r"span (\d+)( months)?", group)
    return int(found[1]) if found else None


def by_span(axes: Axes, rows: Sequence[Estimate]) -> None:
    """Draw one line per method over the span between the given scans, each named at its end."""
    methods: dict[str, list[Estimate]] = {}
    for row in rows:
        methods.setdefault(row.model, []).append(row)
    ends: list[tuple[float, str, str]] = []
    for place, own in enumerate(methods.values()):
        own.sort(key=lambda row: span_months(row.group) or 0)
        ceiling = own[0].role == "ceiling"
        colour, marker = (INK, "o") if ceiling else METHOD_STYLES[place % len(METHOD_STYLES)]
        x = np.array([span_months(row.group) or 0 for row in own]) + (place - (len(methods) - 1) / 2) * 0.45
        y = np.array([row.value for row in own])
        errors = np.abs(np.array([[row.value - row.low, row.high - row.value] for row in own]).T)
        axes.errorbar(x, y, errors, color=colour, linestyle=DASHED if ceiling else "-", linewidth=1.2, elinewidth=1.0)
        axes.plot(x, y, marker, color=colour, markersize=4.5, markerfacecolor="white" if ceiling else colour)
        ends.append((float(y[-1]), role_label(own[0]), colour))
    axes.set_xticks(sorted({span_months(row.group) or 0 for row in rows}))
    axes.set_xlabel("months from the scan before to the scan after")
    name_line_ends(axes, ends)


def name_line_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], *, gap: float = 0.095) -> None:
    """Write names to the right of the axes at the height of each line's end, moved apart where they would touch."""
    bottom, top = axes.get_ylim()
    ordered = sorted(((height - bottom) / (top - bottom), name, colour) for height, name, colour in ends)
    places = [height for height, _, _ in ordered]
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + gap)
    excess = max(0.0, places[-1] - 1.0) if places else 0.0
    for place, (_, name, colour) in zip(places, ordered, strict=True):
        axes.annotate(
            name,
            (1.015, place - excess),
            xycoords="axes fraction",
            va="center",
            color=colour,
            fontsize=7.5,
            annotation_clip=False,
        )
