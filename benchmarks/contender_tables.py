"""The tables of `constructions.py`: what was trained, what it is worth, how fast it is."""

import math
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from contender_scores import AUTOENCODED, REBUILT
from contenders import BASE, PAPER, VOXELS

from neurolatent.analysis.intervals import (
    Interval,
    Resamples,
    Statistic,
    difference,
    interval,
    resample_subjects,
)
from neurolatent.analysis.scores import mean, roc_auc
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import Preset, StageLength
from neurolatent.training.plan import STAGES, stage_length

Found = Mapping[str, Any]
"""What `evaluate` returned for one contender and seed."""
COHORTS = {"phantom": "phantom", "heads": "real heads (IXI)"}


class Quantity(NamedTuple):
    """Draws of the people that a contender was scored on, and how it is computed from its seeds."""

    draw: Callable[[Found], Resamples]
    statistic: Callable[[Sequence[Found]], Statistic]


def draw_sizes(presets: Mapping[str, Preset], found: Mapping[str, Sequence[Found]]) -> str:
    """Write sizes, steps and minutes."""
    went = "stage: steps × scans (minutes, of each seed; scans a second)"
    rows = [
        "## What was trained",
        "",
        f"| what | parameters, M | values in a latent | code | {went} |",
        "|---|--:|---|--:|---|",
    ]
    for name, preset in presets.items():
        count = sum(value.numel() for value in LatentDiffusionAutoencoder(preset).parameters()) / 1e6
        went = "; ".join(
            f"{stage}: {_went(stage_length(preset, stage), [one['stages'][stage]['seconds'] for one in found[name]])}"
            for stage in STAGES
            if stage != "vae" or preset.vae_widths
        )
        extents = (preset.latent_channels, *preset.latent_shape)
        latent = f"{'×'.join(map(str, extents))} = {math.prod(extents)}"
        rows.append(f"| {name} | {count:.1f} | {latent} | {preset.code_size} | {went} |")
    return "\n".join(rows)


def _went(length: StageLength, seconds: Sequence[float]) -> str:
    """Say how often what was learnt, how long it took, and how fast that is."""
    minutes = ", ".join(f"{one / 60:.1f}" for one in seconds)
    speed = length.steps * length.batch * len(seconds) / sum(seconds)
    return f"{length.steps} × {length.batch} ({minutes}; {speed:.3g})"


def draw_qualities(found: Mapping[str, Sequence[Found]]) -> str:
    """Write what all are worth, and what base's construction gains over the paper's on the same people."""
    rows = [
        "## What it is worth",
        "",
        "| quantity | people | " + " | ".join(found) + f" | {BASE} − {PAPER} |",
        "|---|--:|" + "---|" * (len(found) + 1),
    ]
    for title, (draw, statistic) in _quantities(found[PAPER][0]).items():
        drawn = {name: draw(seeds[0]) for name, seeds in found.items()}
        values = {name: interval(drawn[name], statistic(seeds)) for name, seeds in found.items()}
        gain = interval(drawn[PAPER], difference(statistic(found[BASE]), statistic(found[PAPER])))
        cells = [_cell(value) for value in (*values.values(), gain)]
        if VOXELS in found and title.endswith(AUTOENCODED):
            cells[list(found).index(VOXELS)] = "no VAE"
        rows.append(f"| {title} | {_counts(drawn)} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _counts(drawn: Mapping[str, Resamples]) -> str:
    """Say how many people, and of whom fewer."""
    most = drawn[PAPER].n_subjects
    fewer = [f"{name} {one.n_subjects}" for name, one in drawn.items() if one.n_subjects != most]
    return "; ".join([str(most), *fewer])


def _quantities(example: Found) -> dict[str, Quantity]:
    """Return what is compared, by its title."""
    return {
        **{
            f"masked SSIM, {label}, {what}": _mean(_ssim_of(cohort, what))
            for cohort, label in COHORTS.items()
            for what in ((AUTOENCODED, REBUILT) if cohort in example else ())
        },
        "ROC-AUC, AD against CN, from y": Quantity(_draw_diagnosed, _mean_auc),
        "age, mean absolute error in years, from y": _mean(itemgetter("age_error")),
        "the same, of predicting the mean age": _mean(itemgetter("age_error_of_mean")),
    }


def _ssim_of(cohort: str, what: str) -> Callable[[Found], Mapping[str, float]]:
    return lambda scores: scores[cohort][what]


def _mean(of: Callable[[Found], Mapping[str, float]]) -> Quantity:
    """Average over people what is kept by person, each person's mean over the seeds."""

    def statistic(seeds: Sequence[Found]) -> Statistic:
        people = sorted(of(seeds[0]))
        return mean(np.mean([[of(one)[person] for person in people] for one in seeds], axis=0))

    def draw(scores: Found) -> Resamples:
        return resample_subjects(sorted(of(scores)), seed=1)

    return Quantity(draw, statistic)


def _diagnosed(scores: Found) -> tuple[list[str], np.ndarray]:
    people = sorted(scores["ad"]["positive"])
    return people, np.array([bool(scores["ad"]["positive"][person]) for person in people])


def _draw_diagnosed(scores: Found) -> Resamples:
    people, sick = _diagnosed(scores)
    return resample_subjects(people, seed=1, strata=sick.astype(str).tolist(), stratified_by="diagnosis")


def _mean_auc(seeds: Sequence[Found]) -> Statistic:
    people, sick = _diagnosed(seeds[0])
    of_seed = [
        roc_auc(sick, np.array([one["ad"]["score"][person] for person in people]), ["all"] * len(people))
        for one in seeds
    ]
    return lambda weights: np.mean([statistic(weights) for statistic in of_seed], axis=0)


def _cell(value: Interval) -> str:
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def draw_speeds(speeds: Mapping[str, Any], presets: Mapping[str, Preset]) -> str:
    """Write seconds a scan of each pass, and their ratios."""
    seconds: Mapping[str, Mapping[str, float]] = speeds["seconds"]
    steps = ", ".join(f"{name} {presets[name].sampling_steps}" for name in seconds)
    introduction = (
        "Seconds a scan, batches of 4, the shortest of 3 rounds of taking turns, each at its own sampling steps "
        f"({steps}); the last row is one of those steps. Machine: {speeds['machine']}."
    )
    rows = [
        "## How fast",
        "",
        introduction,
        "",
        "| what | " + " | ".join(seconds) + f" | {PAPER} / {BASE} | {VOXELS} / {PAPER} |",
        "|---|" + "--:|" * (len(seconds) + 2),
    ]
    for what in seconds[PAPER]:
        cells = [f"{one[what]:.3g}" for one in seconds.values()]
        ratios = [seconds[PAPER][what] / seconds[BASE][what], seconds[VOXELS][what] / seconds[PAPER][what]]
        rows.append(f"| {what} | {' | '.join([*cells, *(f'{ratio:.1f}' for ratio in ratios)])} |")
    return "\n".join(rows)
