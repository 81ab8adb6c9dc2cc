"""Predict age by a ridge regression on the semantic code, fitted on stable controls alone.

Run:    neurolatent run regress_age WORKSPACE
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from neurolatent.analysis import scores
from neurolatent.analysis.baselines import MOST_COMPONENTS, fit_components, fit_voxel_components
from neurolatent.analysis.finding import Estimate, Fact, Finding
from neurolatent.analysis.intervals import RESAMPLES, Statistic, resample_subjects
from neurolatent.analysis.outcome import KEY_COLUMNS, Entry, Outcome, Quantity, Table, compare, write_outcome
from neurolatent.analysis.probes import AgeProbe, Features, fit_age
from neurolatent.analysis.selection import Controls, aged_scans, ages, require_controls, stable_controls, subjects
from neurolatent.analysis.study import Study
from neurolatent.analysis.tissue import measure_volumes
from neurolatent.cohort.visits import Visit
from neurolatent.errors import NotApplicableError
from neurolatent.shapes import Values

PROTOCOL, TITLE = "regress_age", "Predicting age"
MODEL, STOCHASTIC, VOXELS, MEAN = "semantic code", "stochastic code", "voxel PCA", "mean age"
MEASURED, ORACLE = "measured volumes", "oracle"
BASELINES = (VOXELS, MEASURED, STOCHASTIC, MEAN)
WITH_NOISE = "scans with a stochastic code"


@dataclass(frozen=True)
class Settings:
    """Options of `regress_age`."""

    seed: int = 1
    """Of inner folds and resampling."""
    resamples: int = RESAMPLES
    """Bootstrap draws."""


@dataclass(frozen=True)
class Predictions:
    """Predicted ages of the test people's scans, in one order for all methods."""

    scans: Sequence[Visit]
    fold: Sequence[str]
    years: dict[str, Values]
    corrected_gap_years: Values
    """Of the semantic code: predicted minus true age, freed of regression to the mean."""

    def of(self, participants: frozenset[str]) -> Bool[ndarray, " scan"]:
        """Mark the scans of these people."""
        return np.array([visit.participant_id in participants for visit in self.scans], dtype=bool)


def run(study: Study, settings: Settings) -> Finding:
    """Fit on each round's training controls, predict all its test people, and judge on the controls among them."""
    verdict = study.certify()
    controls = stable_controls(study.visits)
    everyone = aged_scans(study, frozenset(study.first_scans))
    require_controls(PROTOCOL, study, controls, everyone)
    predictions, from_noise = _predict_all(study, controls, everyone, settings)
    estimates = _estimates(predictions, controls, settings, group="all")
    if from_noise and from_noise is not predictions:
        estimates += _estimates(from_noise, controls, settings, group=WITH_NOISE)
    outcome = Outcome(
        protocol=PROTOCOL,
        title=TITLE,
        settings=settings,
        verdict=verdict,
        estimates=estimates,
        facts=_facts(predictions, controls),
        notes=_notes(predictions, from_noise, controls),
        tables={"predictions": _table(predictions, from_noise)},
    )
    return write_outcome(study, outcome)


def _predict_all(
    study: Study, controls: Controls, scans: Sequence[Visit], settings: Settings
) -> tuple[Predictions, Predictions | None]:
    """Predict from y and voxels, and from z_T beside y on the scans that have one: all, some, or too few."""
    coded = frozenset(study.codes.stochastic_keys)
    with_noise = [visit for visit in scans if visit.key in coded]
    if len(with_noise) == len(scans):
        together = _predict(study, controls, scans, BASELINES, settings)
        return together, together
    predictions = _predict(study, controls, scans, (VOXELS, MEASURED, MEAN), settings)
    try:
        require_controls(PROTOCOL, study, controls, with_noise)
    except NotApplicableError:
        return predictions, None
    return predictions, _predict(study, controls, with_noise, (STOCHASTIC, MEAN), settings)


def _predict(
    study: Study, controls: Controls, scans: Sequence[Visit], baselines: Sequence[str], settings: Settings
) -> Predictions:
    tested: list[Visit] = []
    fold: list[str] = []
    years: dict[str, list[Values]] = {}
    gaps: list[Values] = []
    for round_ in study.split.rounds():
        training = [v for v in scans if v.participant_id in controls.participants & round_.train]
        test = [v for v in scans if v.participant_id in round_.test]
        if not test:
            continue
        probe, predicted = _predict_round(study, training, test, baselines, settings)
        for name, values in predicted.items():
            years.setdefault(name, []).append(values)
        gaps.append(probe.correct_gap(predicted[MODEL] - ages(test), ages(test)))
        tested += test
        fold += [round_.name] * len(test)
    joined = {name: np.concatenate(parts) for name, parts in years.items()}
    return Predictions(tested, fold, joined, np.concatenate(gaps))


def _predict_round(
    study: Study, training: Sequence[Visit], test: Sequence[Visit], baselines: Sequence[str], settings: Settings
) -> tuple[AgeProbe, dict[str, Values]]:
    predicted: dict[str, Values] = {}
    probes: dict[str, AgeProbe] = {}
    kinds = {
        MODEL: _code_features,
        VOXELS: _voxel_features,
        MEASURED: _volume_features,
        STOCHASTIC: _noise_features,
    }
    for name in (MODEL, *baselines):
        if name == MEAN:
            predicted[name] = np.full(len(test), ages(training).mean())
            continue
        found = kinds[name](study, training, test)
        probes[name] = fit_age(
            found.train, ages(training), subjects(training), seed=settings.seed, own_units=name == MEASURED
        )
        predicted[name] = probes[name].predict(found.test)
    if study.truth:
        guesses = study.truth.oracle("age_years")
        predicted[ORACLE] = np.array([guesses[visit.participant_id, visit.session_id] for visit in test])
    return probes[MODEL], predicted


def _code_features(study: Study, training: Sequence[Visit], test: Sequence[Visit]) -> Features:
    return Features(*(study.codes.semantic_of([v.key for v in part]) for part in (training, test)))


def _voxel_features(study: Study, training: Sequence[Visit], test: Sequence[Visit]) -> Features:
    train_rows, test_rows = (study.rows([visit.key for visit in part]) for part in (training, test))
    components = fit_voxel_components(study.cache, train_rows)
    return Features(*(components.project(study.cache, rows) for rows in (train_rows, test_rows)))


def _volume_features(study: Study, training: Sequence[Visit], test: Sequence[Visit]) -> Features:
    return Features(
        *(measure_volumes(study.cache, study.rows([visit.key for visit in part])) for part in (training, test))
    )


def _noise_features(study: Study, training: Sequence[Visit], test: Sequence[Visit]) -> Features:
    train, test_codes = (
        study.codes.stochastic_of([v.key for v in part]).reshape(len(part), -1) for part in (training, test)
    )
    components = fit_components(train)
    return Features(components.project(train), components.project(test_codes))


def _estimates(predictions: Predictions, controls: Controls, settings: Settings, *, group: str) -> list[Estimate]:
    judged = predictions.of(controls.participants)
    scans = [visit for visit, here in zip(predictions.scans, judged, strict=True) if here]
    truth = ages(scans)
    resamples = resample_subjects(subjects(scans), seed=settings.seed, resamples=settings.resamples)
    errors = {name: years[judged] - truth for name, years in predictions.years.items()}
    rivals = tuple(name for name in BASELINES if name in errors)
    measures: list[tuple[Quantity, dict[str, Statistic]]] = [
        (Quantity("MAE", "years", higher_is_better=False), {n: scores.mean(np.abs(e)) for n, e in errors.items()}),
        (Quantity("RMSE", "years", higher_is_better=False), {n: scores.root_mean_square(e) for n, e in errors.items()}),
        (Quantity("R²", "", higher_is_better=True), {n: scores.r_squared(truth, truth + e) for n, e in errors.items()}),
    ]
    estimates: list[Estimate] = []
    for quantity, statistics in measures:
        entries = [
            Entry(name, "model", statistic, rivals)
            if name == MODEL
            else Entry(name, "ceiling" if name == ORACLE else "baseline", statistic)
            for name, statistic in statistics.items()
        ]
        estimates += compare(quantity, resamples, entries, group=group)
    return estimates


def _facts(predictions: Predictions, controls: Controls) -> list[Fact]:
    years, gap = ages(predictions.scans), predictions.years[MODEL] - ages(predictions.scans)
    healthy = predictions.of(controls.participants)
    before, after = (
        float(np.polyfit(years[healthy], values[healthy], 1)[0]) for values in (gap, predictions.corrected_gap_years)
    )
    where = "test controls; corrected by the training controls' out-of-fold predictions"
    facts = [
        Fact("gap–age slope before correction", before, "years per year", "test controls"),
        Fact("gap–age slope after correction", after, "years per year", where),
    ]
    for diagnosis in ("CN", "MCI", "AD"):
        chosen = [visit.diagnosis == diagnosis for visit in predictions.scans]
        if any(chosen):
            value = float(predictions.corrected_gap_years[chosen].mean())
            facts.append(Fact(f"mean corrected gap, {diagnosis}", value, "years", f"{sum(chosen)} test scans"))
    return facts


def _notes(predictions: Predictions, noise: Predictions | None, controls: Controls) -> list[str]:
    judged = predictions.of(controls.participants)
    people = {visit.participant_id for visit, here in zip(predictions.scans, judged, strict=True) if here}
    notes = [
        controls.described,
        (
            f"Every regression is fitted on training controls and judged on {int(judged.sum())} scans of {len(people)} "
            "test controls."
        ),
        (
            "Measured volumes are tissue in stated boxes of template space, by a three-class mixture of the scan's own "
            "intensities. "
            f"Voxels and stochastic codes are read through at most {MOST_COMPONENTS} principal components; inner folds "
            "of people choose the penalty."
        ),
        "Intervals redraw people with all their scans and keep trained weights and regressions as they are.",
        "MAE, RMSE and R² are of the predictions as they come, drawn towards the mean age.",
        "The correction of that serves gaps only, is no gain in accuracy, and subtracts a line without dividing.",
    ]
    if ORACLE in predictions.years:
        notes.append(
            "The oracle is a linear regression on all true volumes, fitted on 20,000 simulated people; no image shows "
            "as much. What a code can fairly be asked to match is the regression on measured volumes."
        )
    if noise:
        notes.append(
            f"The stochastic code is judged on scans that have one ({len(noise.scans)} of test people); beside it the "
            "semantic code, fitted again on the same scans."
        )
    return notes


def _table(predictions: Predictions, noise: Predictions | None) -> Table:
    from_noise = dict(zip([v.key for v in noise.scans], noise.years[STOCHASTIC], strict=True)) if noise else {}
    columns = [
        *KEY_COLUMNS,
        "fold",
        "diagnosis",
        "age_years",
        "semantic_code",
        "stochastic_code",
        "voxel_pca",
        "measured_volumes",
        "mean_age",
        *(["oracle"] if ORACLE in predictions.years else []),
    ]
    rows = [
        [
            *visit.key,
            fold,
            visit.diagnosis,
            visit.age_years,
            float(predictions.years[MODEL][place]),
            float(from_noise[visit.key]) if visit.key in from_noise else None,
            float(predictions.years[VOXELS][place]),
            float(predictions.years[MEASURED][place]),
            float(predictions.years[MEAN][place]),
            *([float(predictions.years[ORACLE][place])] if ORACLE in predictions.years else []),
        ]
        for place, (visit, fold) in enumerate(zip(predictions.scans, predictions.fold, strict=True))
    ]
    return Table(columns, rows)
