"""One section per analysis: its verdict, tables and figure, from its finding and the files beside it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from neurolatent.analysis.finding import Finding
from neurolatent.report import numbers
from neurolatent.report.brains import TARGET, change_figure, interpolation_figure, reconstruction_figure
from neurolatent.report.columns import Columns, read_columns
from neurolatent.report.figures import age_figure, classification_figure
from neurolatent.report.privacy import scrub
from neurolatent.report.records import Figure, Section
from neurolatent.report.slices import Picture, read_picture
from neurolatent.report.sources import Inputs, map_file, table_file
from neurolatent.report.tables import estimate_tables, facts_table
from neurolatent.report.verdict import EVERYONE, capital, verdict
from neurolatent.report.wording import wording

VISIT_MAPS = (
    ("example_before", "before"),
    ("example_target", TARGET),
    ("example_after", "after"),
    ("example_model", "model"),
    ("example_carry_forward", "carry-forward"),
    ("example_linear_blend", "linear blend"),
    ("example_vae_ceiling", "VAE (ceiling)"),
)
REBUILT_MAPS = (
    ("example_original", "original"),
    ("example_vae", "VAE"),
    ("example_code_and_noise", "code and inferred noise"),
    ("example_code_only", "code alone"),
)
CHANGE_MAPS = (("change_model", "model"), ("change_truth", "truth"), ("change_voxel_slope", "voxelwise slope on age"))


def section(inputs: Inputs, finding: Finding) -> Section:
    """Write up one finding."""
    words = wording(finding.protocol, finding.title)
    draw = FIGURES.get(finding.protocol)
    roots = inputs.source_roots
    return Section(
        protocol=finding.protocol,
        title=words.title,
        question=words.question,
        how_to_read=words.how_to_read,
        verdict=verdict(finding, title=words.title),
        certificate=certificate(finding, roots),
        simulation=finding.simulation,
        tables=estimate_tables(finding),
        figure=draw(inputs, finding) if draw else None,
        facts=facts_table(finding.facts, roots),
        notes=tuple(scrub(note, roots) for note in finding.notes),
    )


def certificate(finding: Finding, roots: tuple[str, ...]) -> str:
    """Say whether any stage of training has seen the test people."""
    return f"{finding.certificate.capitalize()}: {scrub(finding.certificate_reason, roots)}"


def _read_table(inputs: Inputs, finding: Finding, name: str, columns: tuple[str, ...]) -> Columns | None:
    path = table_file(inputs, finding, name)
    return None if path is None else read_columns(path, expected=columns)


def _read_maps(inputs: Inputs, finding: Finding, named: tuple[tuple[str, str], ...]) -> dict[str, Picture]:
    paths: dict[str, Path | None] = {label: map_file(inputs, finding, name) for name, label in named}
    return {label: read_picture(path) for label, path in paths.items() if path is not None}


def _classification(inputs: Inputs, finding: Finding) -> Figure | None:
    rows = _read_table(inputs, finding, "predictions", ("fold", "truth"))
    return None if rows is None else classification_figure(finding, rows)


def _age(inputs: Inputs, finding: Finding) -> Figure | None:
    rows = _read_table(inputs, finding, "predictions", ("age_years", "diagnosis"))
    return None if rows is None else age_figure(finding, rows)


def _interpolation(inputs: Inputs, finding: Finding) -> Figure | None:
    maps = _read_maps(inputs, finding, VISIT_MAPS)
    return interpolation_figure(finding, maps if TARGET in maps else {})


def _change(inputs: Inputs, finding: Finding) -> Figure | None:
    maps = _read_maps(inputs, finding, CHANGE_MAPS)
    mean = _read_maps(inputs, finding, (("mean_image", "mean"),)).get("mean")
    return change_figure(finding, maps, mean, _change_labels(finding, maps)) if maps and mean is not None else None


def _change_labels(finding: Finding, maps: Mapping[str, Picture]) -> dict[str, str]:
    """Name each map; beside the model's and the slope's, the correlation with the truth where it was measured."""
    labels = {name: capital(name) for name in maps}
    rows = [row for row in finding.estimates if row.group == EVERYONE and row.name == finding.estimates[0].name]
    measured = {
        "model": next((row for row in rows if row.role == "model"), None),
        "voxelwise slope on age": next((row for row in rows if row.role == "baseline" and "slope" in row.model), None),
    }
    for name, row in measured.items():
        if name in labels and row is not None:
            decimals = max(2, numbers.decimals_for([row]))
            value, span = numbers.number(row.value, decimals), numbers.interval(row.low, row.high, decimals)
            labels[name] = f"{labels[name]}: {row.name} {value} {span}"
    return labels


def _reconstruction(inputs: Inputs, finding: Finding) -> Figure | None:
    steps = _read_table(inputs, finding, "steps", ("steps", "ssim", "n"))
    scans = _read_table(inputs, finding, "scans", ("method", "ssim"))
    if steps is None or scans is None:
        return None
    # The step study used the first scans of the table: the ceiling is drawn for the same ones.
    vae = scans.numbers("ssim")[scans.text("method") == "vae"][: int(steps.numbers("n").max())]
    if np.isnan(steps.numbers("ssim")).any() or not np.isfinite(vae).all():
        return None
    return reconstruction_figure(finding, steps, float(vae.mean()), _read_maps(inputs, finding, REBUILT_MAPS))


FIGURES: Mapping[str, Callable[[Inputs, Finding], Figure | None]] = {
    "classify_ad": _classification,
    "regress_age": _age,
    "fill_missing_visit": _interpolation,
    "age_counterfactual": _change,
    "reconstruct": _reconstruction,
}
