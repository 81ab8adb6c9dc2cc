"""Edit codes along the age pattern, decode, and gather what the change can be held against."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurolatent.analysis.baselines import (
    VoxelComponents,
    fit_voxel_components,
    voxel_slopes,
)
from neurolatent.analysis.generation import Generator
from neurolatent.analysis.probes import AgeProbe, Direction, age_pattern, dose_per_year, fit_age
from neurolatent.analysis.selection import Controls, aged_scans, ages, subjects
from neurolatent.analysis.study import MaskArrays, Study
from neurolatent.cohort.visits import Visit
from neurolatent.shapes import Values, VolumeArray, VoxelArray

MODEL, SLOPE, RANDOM = "edited code", "voxelwise age slope", "random direction"
YEARS_PER_DECADE, MONTHS_PER_YEAR = 10.0, 12


@dataclass(frozen=True)
class Ruler:
    """What a round's training controls say about age: in the code, in the voxels, and by an independent regression."""

    probe: AgeProbe
    step: Direction
    """Added to y: along the pattern, as far as makes the bias-corrected predicted age rise as asked."""
    random_step: Direction
    """As long, in a direction drawn at random."""
    slope_per_decade: VoxelArray
    components: VoxelComponents
    voxel_probe: AgeProbe


@dataclass(frozen=True)
class Edits:
    """Decoded scans of some people, and what is true of them where that is known."""

    scans: Sequence[Visit]
    masks: MaskArrays
    null: VolumeArray
    """Decoded from the code as it is: the same path as an edit."""
    change: dict[str, VolumeArray]
    """Intensity per decade, by method: edited minus null, or the voxelwise slope."""
    truth: VolumeArray | None
    seen_years: dict[str, Values]
    """By how much an independent predictor in image space finds the edited scan older than the null edit."""


def fit_rulers(
    study: Study, controls: Controls, scans: Sequence[Visit], *, older_by_years: float, seed: int
) -> dict[str, Ruler]:
    """Return each person's ruler, fitted on the controls who train where that person is tested."""
    rulers: dict[str, Ruler] = {}
    for round_ in study.split.rounds():
        tested = [scan.participant_id for scan in scans if scan.participant_id in round_.test]
        if tested:
            training = aged_scans(study, controls.participants & round_.train)
            ruler = _fit_ruler(study, training, older_by_years=older_by_years, seed=seed)
            rulers |= dict.fromkeys(tested, ruler)
    return rulers


def make_edits(
    study: Study,
    scans: Sequence[Visit],
    rulers: dict[str, Ruler],
    generator: Generator,
    *,
    older_by_years: float,
) -> Edits:
    """Decode every scan's code as it is, moved along the pattern, and moved as far at random, with its own z_T."""
    keys = [scan.key for scan in scans]
    codes, noise = study.codes.semantic_of(keys), study.noise(keys, generator)
    of_each = [rulers[scan.participant_id] for scan in scans]
    null = generator.generate(codes, noise, what="Null edits")
    decoded = {
        MODEL: generator.generate(codes + np.stack([r.step for r in of_each]), noise, what="Ageing edits"),
        RANDOM: generator.generate(codes + np.stack([r.random_step for r in of_each]), noise, what="Random edits"),
    }
    per_decade = np.float32(YEARS_PER_DECADE / older_by_years)
    change = {method: (volume - null) * per_decade for method, volume in decoded.items()}
    change[SLOPE] = np.stack([ruler.slope_per_decade for ruler in of_each])
    return Edits(
        scans=scans,
        masks=study.masks(keys),
        null=null,
        change=change,
        truth=_true_change(study, scans),
        seen_years={method: _seen_years(of_each, volume, null) for method, volume in decoded.items()},
    )


def _fit_ruler(study: Study, training: Sequence[Visit], *, older_by_years: float, seed: int) -> Ruler:
    keys, people = [visit.key for visit in training], subjects(training)
    rows, codes = study.rows(keys), study.codes.semantic_of(keys)
    probe = fit_age(codes, ages(training), people, seed=seed)
    pattern = age_pattern(probe, codes)
    step = pattern * dose_per_year(probe, pattern) * older_by_years
    components = fit_voxel_components(study.cache, rows)
    voxels = components.project(study.cache, rows)
    return Ruler(
        probe=probe,
        step=step,
        random_step=_random_step(step, seed=seed),
        slope_per_decade=voxel_slopes(study.cache, rows, ages(training)) * np.float32(YEARS_PER_DECADE),
        components=components,
        voxel_probe=fit_age(voxels, ages(training), people, seed=seed),
    )


def _random_step(step: Direction, *, seed: int) -> Direction:
    """Draw a direction and make it as long as the step."""
    drawn = np.random.default_rng(seed).standard_normal(len(step))
    return drawn * np.linalg.norm(step) / np.linalg.norm(drawn)


def _seen_years(rulers: Sequence[Ruler], edited: VolumeArray, null: VolumeArray) -> Values:
    years: list[float] = []
    for ruler, *pair in zip(rulers, edited, null, strict=True):
        older, younger = ruler.voxel_probe.predict(ruler.components.project_volumes(np.stack(pair)))
        years.append(float(older - younger) * ruler.voxel_probe.stretch)
    return np.array(years)


def _true_change(study: Study, scans: Sequence[Visit]) -> VolumeArray | None:
    """Return what a decade of ageing does to each of these people, where that is known."""
    if study.truth is None:
        return None
    decade = YEARS_PER_DECADE * MONTHS_PER_YEAR
    moments = [(scan.participant_id, scan.months + months) for months in (0.0, decade) for scan in scans]
    now, later = np.split(study.truth.noise_free_volumes(moments, study.cache.grid, scanner_months=0.0), 2)
    return later - now
