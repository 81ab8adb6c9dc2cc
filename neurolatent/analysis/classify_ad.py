"""Tell Alzheimer's disease from healthy controls by a linear probe on the semantic code.

Run:    neurolatent run classify_ad WORKSPACE
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from neurolatent.analysis import scores
from neurolatent.analysis.baselines import MOST_COMPONENTS, fit_voxel_components
from neurolatent.analysis.finding import Estimate, Fact, Finding
from neurolatent.analysis.intervals import RESAMPLES, Resamples, Statistic, resample_subjects
from neurolatent.analysis.outcome import KEY_COLUMNS, Entry, Outcome, Quantity, Table, compare, write_outcome
from neurolatent.analysis.probes import Features, fit_classifier
from neurolatent.analysis.segmentation import segmentation_error
from neurolatent.analysis.selection import subjects
from neurolatent.analysis.study import Study
from neurolatent.analysis.tissue import measure_volumes
from neurolatent.cohort.visits import Visit
from neurolatent.errors import NotApplicableError
from neurolatent.shapes import Values
from neurolatent.workspace import ScanKey

PROTOCOL, TITLE = "classify_ad", "Telling Alzheimer's disease from controls"
MODEL, VOXELS, MEASURED, ORACLE = "semantic code", "voxel PCA", "measured volumes", "oracle"
BASELINES = (VOXELS, MEASURED)
THRESHOLD = 0.5
ROC_AUC = Quantity("ROC-AUC", "", higher_is_better=True)
PR_AUC = Quantity("PR-AUC", "", higher_is_better=True)

Volumes = dict[ScanKey, ndarray]
"""A scan's measured volumes; they owe nothing to other scans, so they are measured once for all rounds."""


@dataclass(frozen=True)
class Settings:
    """Options of `classify_ad`."""

    seed: int = 1
    """Of inner folds and resampling."""
    resamples: int = RESAMPLES
    """Bootstrap draws."""
    fewest_per_class: int = 10
    """Fewer people with AD, or fewer controls, are refused."""


@dataclass(frozen=True)
class Predictions:
    """Out-of-sample scores of the test people, in one order for all methods."""

    scans: Sequence[Visit]
    fold: Sequence[str]
    positive: Bool[ndarray, " scan"]
    probability: dict[str, Values]


def run(study: Study, settings: Settings) -> Finding:
    """Fit on each round's training people, score its test people, and compare."""
    verdict = study.certify()
    people = [visit for visit in study.first_scans.values() if visit.diagnosis in {"AD", "CN"}]
    _require_both_classes(people, settings)
    labelled = [visit for visit in study.usable if visit.diagnosis in {"AD", "CN"}]
    measured = measure_volumes(study.cache, study.rows([visit.key for visit in labelled]))
    volumes = {visit.key: row for visit, row in zip(labelled, measured, strict=True)}
    predictions = _predict(study, people, labelled, volumes, settings)
    resamples = resample_subjects(
        subjects(predictions.scans),
        seed=settings.seed,
        strata=[f"{f} {p}" for f, p in zip(predictions.fold, predictions.positive, strict=True)],
        stratified_by="fold and diagnosis",
        resamples=settings.resamples,
    )
    outcome = Outcome(
        protocol=PROTOCOL,
        title=TITLE,
        settings=settings,
        verdict=verdict,
        estimates=_estimates(predictions, resamples),
        facts=_segmentation_error(study, people, volumes),
        notes=_notes(study, predictions),
        tables={"predictions": _table(predictions)},
    )
    return write_outcome(study, outcome)


def _segmentation_error(study: Study, people: Sequence[Visit], volumes: Volumes) -> list[Fact]:
    if study.truth is None:
        return []
    return segmentation_error(study.truth, people, np.stack([volumes[visit.key] for visit in people]))


def _require_both_classes(people: Sequence[Visit], settings: Settings) -> None:
    counts = {label: sum(visit.diagnosis == label for visit in people) for label in ("AD", "CN")}
    if min(counts.values()) < settings.fewest_per_class:
        msg = (
            f"classify_ad: expected at least {settings.fewest_per_class} people with AD and as many controls at the "
            f"first usable scan, got {counts['AD']} AD and {counts['CN']} CN. It does not apply to this cohort."
        )
        raise NotApplicableError(msg)


def _predict(
    study: Study, people: Sequence[Visit], labelled: Sequence[Visit], volumes: Volumes, settings: Settings
) -> Predictions:
    scans: list[Visit] = []
    fold: list[str] = []
    probability: dict[str, list[Values]] = {}
    for round_ in study.split.rounds():
        training = [visit for visit in labelled if visit.participant_id in round_.train]
        test = [visit for visit in people if visit.participant_id in round_.test]
        if not test:
            continue
        for name, found in _score_round(study, training, test, volumes, settings).items():
            probability.setdefault(name, []).append(found)
        scans += test
        fold += [round_.name] * len(test)
    joined = {name: np.concatenate(parts) for name, parts in probability.items()}
    return Predictions(scans, fold, _is_ad(scans), joined)


def _score_round(
    study: Study, training: Sequence[Visit], test: Sequence[Visit], volumes: Volumes, settings: Settings
) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for name, features in _features(study, training, test, volumes).items():
        probe = fit_classifier(
            features.train, _is_ad(training), subjects(training), seed=settings.seed, own_units=name == MEASURED
        )
        found[name] = probe.probability(features.test)
    if study.truth:
        chances = study.truth.oracle()
        found[ORACLE] = np.array([chances[visit.participant_id, visit.session_id] for visit in test])
    return found


def _features(study: Study, training: Sequence[Visit], test: Sequence[Visit], volumes: Volumes) -> dict[str, Features]:
    keys = [[visit.key for visit in part] for part in (training, test)]
    train_rows, test_rows = (study.rows(part) for part in keys)
    components = fit_voxel_components(study.cache, train_rows)
    return {
        MODEL: Features(*(study.codes.semantic_of(part) for part in keys)),
        VOXELS: Features(*(components.project(study.cache, rows) for rows in (train_rows, test_rows))),
        MEASURED: Features(*(np.stack([volumes[key] for key in part]) for part in keys)),
    }


def _estimates(predictions: Predictions, resamples: Resamples) -> list[Estimate]:
    positive, found = predictions.positive, predictions.probability
    in_folds = [_entry(name, scores.roc_auc(positive, score, predictions.fold)) for name, score in found.items()]
    together = [_entry(name, scores.average_precision(positive, score)) for name, score in found.items()]
    estimates = [*compare(ROC_AUC, resamples, in_folds), *compare(PR_AUC, resamples, together)]
    correct = {name: ((score >= THRESHOLD) == positive).astype(float) for name, score in found.items()}
    at_threshold: dict[str, Callable[[Values], Statistic]] = {
        "balanced accuracy": partial(scores.balanced_accuracy, positive=positive),
        "sensitivity for AD": partial(scores.mean_where, where=positive),
        "specificity for CN": partial(scores.mean_where, where=~positive),
    }
    for name, statistic in at_threshold.items():
        entries = [_entry(method, statistic(right)) for method, right in correct.items()]
        estimates += compare(Quantity(name, "", higher_is_better=True), resamples, entries)
    return estimates


def _entry(name: str, statistic: Statistic) -> Entry:
    if name == MODEL:
        return Entry(name, "model", statistic, BASELINES)
    return Entry(name, "ceiling" if name == ORACLE else "baseline", statistic)


def _is_ad(scans: Sequence[Visit]) -> Bool[ndarray, " scan"]:
    return np.array([visit.diagnosis == "AD" for visit in scans], dtype=bool)


def _table(predictions: Predictions) -> Table:
    methods = list(predictions.probability)
    columns = [*KEY_COLUMNS, "fold", "truth", *(name.replace(" ", "_").lower() for name in methods)]
    rows = [
        [*visit.key, fold, int(truth), *(float(predictions.probability[name][place]) for name in methods)]
        for place, (visit, fold, truth) in enumerate(
            zip(predictions.scans, predictions.fold, predictions.positive, strict=True)
        )
    ]
    return Table(columns, rows)


def _notes(study: Study, predictions: Predictions) -> list[str]:
    n_ad, folds = int(predictions.positive.sum()), len(set(predictions.fold))
    notes = [
        f"{n_ad} people with AD (the positive class) and {len(predictions.scans) - n_ad} controls, one scan each.",
        "The scan tested is a person's first usable one; people whose diagnosis is another one there are left out.",
        (
            "Every method is a logistic regression, fitted on all scans of training people "
            f"that carry one of the two diagnoses, in {folds} round(s); inner folds of people choose the "
            f"penalty. Voxels are read through at most {MOST_COMPONENTS} principal components."
        ),
        "In the fit both classes weigh alike, so 0.5 is the threshold.",
        "ROC-AUC is taken within each round and averaged; PR-AUC is of all rounds together.",
        "Intervals redraw test people within round and diagnosis and keep trained weights and probes as they are.",
        (
            "Measured volumes are shares of the intracranial mask, in stated boxes of template space, by a three-class "
            "mixture of the scan's own intensities."
        ),
    ]
    if study.truth:
        notes.append(
            "The oracle is the simulation's own probability of AD given all true volumes; no image shows as much. "
            "What a code can fairly be asked to match is the same classifier on measured volumes."
        )
    return notes
