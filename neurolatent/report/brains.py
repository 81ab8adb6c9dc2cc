"""Figures that show brains: example scans, a filled-in visit, maps of change, reconstructions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from neurolatent.analysis.finding import Estimate, Finding
from neurolatent.report import numbers
from neurolatent.report.columns import Columns
from neurolatent.report.drawing import BLUE, DASHED, GREY, INK, sheet, to_svg
from neurolatent.report.figures import by_span, name_line_ends, span_months
from neurolatent.report.records import Figure
from neurolatent.report.slices import (
    CUT_MM,
    PLANES,
    Picture,
    brain_row,
    change_colours,
    show_brain,
    show_change,
    side_marks,
    symmetric_limit,
)
from neurolatent.report.verdict import capital

TARGET = "real visit"
PLACES = "x {}, y {}, z {} mm (MNI)".format(*(numbers.number(place, 0) for place in CUT_MM))
SIDES = "The person's left is on the left of coronal and axial slices."


def example_figure(scans: Mapping[str, Picture]) -> Figure:
    """Three planes of a few scans, named by what may be told of the person."""
    columns = 2 if len(scans) > 1 else 1
    rows = -(-len(scans) // columns)
    with sheet(1.35 * rows + 0.1) as page:
        blocks = page.subfigures(rows, columns, squeeze=False, wspace=0.03)
        for block in list(blocks.flat)[len(scans) :]:
            block.set_facecolor("white")
        for block, (label, picture) in zip(blocks.flat, scans.items(), strict=False):
            block.suptitle(label, fontsize=8, fontweight="bold", x=0.01, ha="left")
            for axes, plane in zip(block.subplots(1, 3), PLANES, strict=True):
                show_brain(axes, picture, plane)
                if plane != "sagittal":
                    side_marks(axes)
        content = to_svg(page)
    named = numbers.listing(scans)
    return Figure(
        name="examples",
        title="Example scans, as the model sees them",
        caption=f"Sagittal, coronal and axial slices at {PLACES}, brain only. {SIDES}",
        alt=f"Sagittal, coronal and axial slices of {len(scans)} preprocessed brains: {named}.",
        media_type="image/svg+xml",
        content=content,
    )


def interpolation_figure(finding: Finding, maps: Mapping[str, Picture]) -> Figure:
    """SSIM by span, and one visit: real, filled in by each method, and what each gets wrong."""
    rows = _ssim_rows(finding)
    with sheet(4.9 if maps else 2.6) as page:
        parts = page.subfigures(2, 1, height_ratios=(1.0, 1.05), squeeze=False)[:, 0] if maps else [page]
        axes = parts[0].subplots()
        by_span(axes, rows)
        axes.set_title(f"{capital(quantity_name(rows))} of the filled-in visit by span, with 95 % intervals")
        if maps:
            _filled_visit(parts[1].subplots(2, len(maps)), maps)
        content = to_svg(page)
    example = " Below: one visit; under each scan its difference from the real one." if maps else ""
    return Figure(
        name=finding.protocol,
        title="Filling in a missing visit",
        caption=(
            f"Above: agreement with the real scan by the months between the two given scans; the ceiling is the "
            f"autoencoder's own rendering of the real scan.{example}"
        ),
        alt=f"Line plot of {quantity_name(rows)} by span for {_series(rows)}."
        + (f" Below, axial slices of one visit: {numbers.listing(maps)}." if maps else ""),
        media_type="image/svg+xml",
        content=content,
    )


def quantity_name(rows: Sequence[Estimate]) -> str:
    """Return the quantity that rows share, or a plain word where there are none."""
    return rows[0].name if rows else "SSIM"


def _ssim_rows(finding: Finding) -> list[Estimate]:
    spans = [row for row in finding.estimates if span_months(row.group) is not None and row.role != "difference"]
    named = [row.name for row in spans if "SSIM" in row.name]
    return [row for row in spans if row.name == (named or [row.name])[0]]


def _series(rows: Sequence[Estimate]) -> str:
    return numbers.listing(dict.fromkeys(row.model for row in rows))


def _filled_visit(grid: np.ndarray, maps: Mapping[str, Picture]) -> None:
    target = maps[TARGET]
    differences = {name: Picture(one.array - target.array, target.world_from_voxel) for name, one in maps.items()}
    limit = symmetric_limit(list(differences.values()), target)
    brain_row(list(grid[0]), maps, "axial")
    for axes, (name, difference) in zip(grid[1], differences.items(), strict=True):
        if name == TARGET:
            _scale_beside(axes, limit, place=(0.1, 0.12, 0.1, 0.76), label="difference in intensity")
        else:
            show_change(axes, difference, target, "axial", limit=limit)
    grid[1][0].text(
        0.0, -0.06, "scan − real visit", transform=grid[1][0].transAxes, fontsize=7, color=GREY, va="top", ha="left"
    )


def _scale_beside(axes: Axes, limit: float, *, place: tuple[float, float, float, float], label: str) -> None:
    axes.axis("off")
    bar = axes.figure.colorbar(change_colours(limit), cax=axes.inset_axes(place))
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(labelsize=6.5, length=2)
    bar.set_label(label, fontsize=6.5)


def change_figure(finding: Finding, maps: Mapping[str, Picture], mean: Picture, labels: Mapping[str, str]) -> Figure:
    """Maps of change by each method over the mean brain, in three planes, on one scale."""
    limit = symmetric_limit(list(maps.values()), mean)
    with sheet(1.7 * len(maps)) as page:
        rows, scale = page.subfigures(1, 2, squeeze=False, width_ratios=(1.0, 0.13))[0]
        blocks = rows.subfigures(len(maps), 1, squeeze=False)
        for block, (name, change) in zip(blocks.flat, maps.items(), strict=True):
            block.suptitle(labels[name], fontsize=8, fontweight="bold", x=0.01, ha="left")
            for axes, plane in zip(block.subplots(1, 3), PLANES, strict=True):
                show_change(axes, change, mean, plane, limit=limit)
        _scale_beside(scale.subplots(), limit, place=(0.0, 0.25, 0.22, 0.5), label="change of intensity per decade")
        content = to_svg(page)
    return Figure(
        name=finding.protocol,
        title="What a decade of ageing changes",
        caption=f"Change per decade over the mean brain at {PLACES}, all maps on one scale. {SIDES}",
        alt=f"Maps of change per decade in three planes: {numbers.listing(labels[name] for name in maps)}.",
        media_type="image/svg+xml",
        content=content,
    )


def reconstruction_figure(finding: Finding, steps: Columns, vae_ssim: float, maps: Mapping[str, Picture]) -> Figure:
    """SSIM by number of sampling steps under the autoencoder's ceiling, and one scan rebuilt in each way."""
    with sheet(4.9 if maps else 2.4) as page:
        parts = page.subfigures(2, 1, height_ratios=(0.8, 1.25), squeeze=False)[:, 0] if maps else [page]
        _steps_panel(parts[0].subplots(), steps, vae_ssim)
        if maps:
            grid = parts[1].subplots(2, len(maps))
            brain_row(list(grid[0]), maps, "axial")
            for axes, picture in zip(grid[1], maps.values(), strict=True):
                show_brain(axes, picture, "coronal")
        content = to_svg(page)
    values = numbers.listing(
        f"{value:.3f} at {count} steps" for value, count in zip(steps.numbers("ssim"), steps.text("steps"), strict=True)
    )
    return Figure(
        name=finding.protocol,
        title="Rebuilding a scan from its codes",
        caption=(
            "Above: agreement with the original by the number of sampling steps each way, from the semantic code and "
            "the inferred noise; dashed, the VAE alone on the same scans."
            + (" Below: one scan, axial and coronal." if maps else "")
        ),
        alt=f"Masked SSIM by number of steps: {values}; the autoencoder alone reaches {vae_ssim:.3f}."
        + (f" Below, slices of one scan: {numbers.listing(maps)}." if maps else ""),
        media_type="image/svg+xml",
        content=content,
    )


def _steps_panel(axes: Axes, steps: Columns, vae_ssim: float) -> None:
    ssim, places = steps.numbers("ssim"), range(len(steps.text("steps")))
    axes.axhline(vae_ssim, color=INK, linewidth=1.0, linestyle=DASHED)
    axes.plot(places, ssim, "o-", color=BLUE, markersize=5)
    look: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "top", "fontsize": 7, "color": BLUE}
    for place, value in zip(places, ssim, strict=True):
        axes.annotate(f"{value:.3f}", (place, value), (0, -6), **look)
    n = int(steps.numbers("n").max())
    axes.set_xticks(list(places), [str(count) for count in steps.text("steps")])
    axes.set_xlabel("sampling steps each way")
    axes.set_title(f"Masked SSIM by number of steps ({numbers.count(n, 'scan', 'scans')})")
    axes.margins(x=0.08, y=0.3)
    name_line_ends(axes, [(vae_ssim, "VAE (ceiling)", INK), (float(ssim[-1]), "code and inferred noise", BLUE)])
