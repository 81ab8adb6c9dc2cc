"""Age a brain by moving its code along the pattern that an age probe reads, and ask whether the change is true.

Run:    neurolatent run age_counterfactual WORKSPACE
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurolatent.analysis import scores
from neurolatent.analysis.baselines import mean_image
from neurolatent.analysis.edits import MODEL, RANDOM, SLOPE, Edits, Ruler, fit_rulers, make_edits
from neurolatent.analysis.finding import Estimate, Fact, Finding
from neurolatent.analysis.generation import Generator
from neurolatent.analysis.intervals import RESAMPLES, Resamples, resample_subjects
from neurolatent.analysis.likeness import score
from neurolatent.analysis.maps import correlate, correlation_of_means
from neurolatent.analysis.outcome import Entry, Outcome, Quantity, Table, compare, write_outcome
from neurolatent.analysis.selection import (
    Controls,
    aged_scans,
    draw_people,
    require_controls,
    stable_controls,
    subjects,
)
from neurolatent.analysis.study import Study, settle_steps
from neurolatent.cohort.visits import Visit
from neurolatent.shapes import MaskArray, Values, VoxelArray

PROTOCOL, TITLE = "age_counterfactual", "Ageing a brain by editing its code"
METHODS = {MODEL: "model", SLOPE: "voxel_slope", RANDOM: "random_direction"}
"""Name in the report → name in the table."""


@dataclass(frozen=True)
class Settings:
    """Options of `age_counterfactual`."""

    seed: int = 1
    """Of the draw of people, of inner folds, of the random direction and of resampling."""
    steps: int | None = None
    """DDIM steps, to the codes and back; the preset's own number by default."""
    people: int = 30
    """Most test controls, one scan each."""
    older_by_years: float = 10.0
    """By how much the bias-corrected predicted age is to rise."""
    resamples: int = RESAMPLES
    """Bootstrap draws."""


def run(study: Study, settings: Settings) -> Finding:
    """Edit the codes of test controls, decode, and hold the change against what ageing does."""
    settings, verdict = settle_steps(settings, study), study.certify()
    controls = stable_controls(study.visits)
    require_controls(PROTOCOL, study, controls, aged_scans(study, controls.participants))
    scans = _choose(study, controls, settings)
    generator = study.generator(steps=settings.steps)
    rulers = fit_rulers(study, controls, scans, older_by_years=settings.older_by_years, seed=settings.seed)
    edits = make_edits(study, scans, rulers, generator, older_by_years=settings.older_by_years)
    own = _own_correlations(edits)
    resamples = resample_subjects(subjects(scans), seed=settings.seed, resamples=settings.resamples)
    outcome = Outcome(
        protocol=PROTOCOL,
        title=TITLE,
        settings=settings,
        verdict=verdict,
        estimates=_estimates(edits, own, resamples),
        facts=_facts(study, edits, rulers, generator),
        notes=_notes(edits, controls, settings),
        tables={"correlations": _table(scans, own)},
        maps=_maps(study, edits),
    )
    return write_outcome(study, outcome)


def _choose(study: Study, controls: Controls, settings: Settings) -> list[Visit]:
    """Draw test controls; of each, the first usable scan with an age."""
    first: dict[str, Visit] = {}
    for visit in aged_scans(study, controls.participants & study.test_subjects):
        first.setdefault(visit.participant_id, visit)
    return [first[person] for person in draw_people(first, most=settings.people, seed=settings.seed)]


def _reference(edits: Edits) -> tuple[str, np.ndarray, tuple[str, ...]]:
    """Return what changes are held against, and by which methods: the truth, else the voxelwise age slope."""
    if edits.truth is None:
        return "the voxelwise age slope", edits.change[SLOPE], (MODEL, RANDOM)
    return "the true change", edits.truth, (MODEL, SLOPE, RANDOM)


def _own_correlations(edits: Edits) -> dict[str, Values]:
    _, reference, methods = _reference(edits)
    return {method: correlate(edits.change[method], reference, edits.masks) for method in methods}


def _estimates(edits: Edits, own: dict[str, Values], resamples: Resamples) -> list[Estimate]:
    name, reference, methods = _reference(edits)
    rivals = tuple(method for method in methods if method != MODEL)
    inside_all: MaskArray = np.asarray(edits.masks.all(0))

    def entries(statistics: dict[str, scores.Statistic]) -> list[Entry]:
        return [
            Entry(method, "model", statistic, tuple(r for r in rivals if r in statistics))
            if method == MODEL
            else Entry(method, "baseline", statistic)
            for method, statistic in statistics.items()
        ]

    per_person = Quantity(f"correlation with {name}", "", higher_is_better=True)
    of_means = Quantity(f"correlation of the mean change with {name}", "", higher_is_better=True)
    seen = Quantity("change of the age seen in the image", "years", higher_is_better=None)
    mean_maps = {m: correlation_of_means(edits.change[m], reference, inside_all) for m in methods}
    return [
        *compare(per_person, resamples, entries({method: scores.mean(values) for method, values in own.items()})),
        *compare(of_means, resamples, entries(mean_maps)),
        *compare(seen, resamples, entries({method: scores.mean(years) for method, years in edits.seen_years.items()})),
    ]


def _facts(study: Study, edits: Edits, rulers: dict[str, Ruler], generator: Generator) -> list[Fact]:
    keys = [scan.key for scan in edits.scans]
    composition = score(edits.null, generator.reconstruct(study.volumes(keys)), edits.masks)
    source = f"null edit against the VAE's reconstruction, {len(keys)} scans"
    slopes = [1 + ruler.probe.gap_slope for ruler in rulers.values()]
    facts = [
        Fact("composition, masked MSE", float(composition.mse.mean()), "", source),
        Fact(
            "slope of predicted on true age", float(np.mean(slopes)), "years per year", "training controls, out of fold"
        ),
    ]
    if composition.ssim is not None:
        facts.insert(0, Fact("composition, masked SSIM", float(composition.ssim.mean()), "", source))
    return facts


def _table(scans: Sequence[Visit], own: dict[str, Values]) -> Table:
    rows = [
        [scan.participant_id, METHODS[method], float(values[place])]
        for method, values in own.items()
        for place, scan in enumerate(scans)
    ]
    return Table(["participant_id", "method", "r"], rows)


def _maps(study: Study, edits: Edits) -> dict[str, VoxelArray]:
    keys = [scan.key for scan in edits.scans]
    found = {f"change_{METHODS[method]}": edits.change[method].mean(0) for method in (MODEL, SLOPE)}
    if edits.truth is not None:
        found["change_truth"] = edits.truth.mean(0)
    return found | {"mean_image": mean_image(study.cache, study.rows(keys))}


def _notes(edits: Edits, controls: Controls, settings: Settings) -> list[str]:
    name, _, _ = _reference(edits)
    notes = [
        controls.described,
        f"{len(edits.scans)} test controls, one scan each, at most {settings.people} drawn.",
        "Probe, pattern and voxelwise slope are fitted on training controls alone.",
        "y is moved along the pattern Σ·w of the age probe (Haufe et al. 2014), not along its weights w.",
        (
            f"The dose makes the bias-corrected predicted age rise by {settings.older_by_years:g} years; the "
            "correction divides by the slope of predicted on true age, or by 0.5 where that is less."
        ),
        (
            f"The change is the edited scan minus a null edit, decoded the same way from the same z_T in "
            f"{settings.steps} steps; it is correlated with {name} inside each scan's mask, and as a mean map."
        ),
        "The age seen in the image is that of an independent regression on voxels, which never met the codes.",
        "Intervals redraw the test people and condition on one trained model and one set of training people.",
        "The interval of the mean maps leans low: a resample averages fewer different people than there are.",
    ]
    if edits.truth is None:
        notes.append(
            "What ageing truly does to these people is not known; the voxelwise slope mixes age with birth year."
        )
    return notes
