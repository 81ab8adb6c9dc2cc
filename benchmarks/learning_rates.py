"""Choose learning rates for `constructions.py`, alike for the paper's construction and base's, on validation people.

Run:    python benchmarks/learning_rates.py
Cost:   a minute a rate and stage on two idle cores, 30 minutes in all; what was done before is not done again
Writes: docs/results/learning_rates.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from constructions import Constructions, prepare_phantom, train_on
from contender_scores import DEVICE, People
from contenders import BASE, PAPER, contenders, with_steps
from evidence import MACHINE

from neurolatent.console import say
from neurolatent.model.presets import PRESETS, Preset
from neurolatent.provenance import hash_settings, read_json, write_json, write_text
from neurolatent.training.plan import trial_seconds

JUDGED_BY = {"vae": "absolute_error", "denoiser": "velocity_error", "autoencoder": "error_with_code"}
"""What validation people's scans are told by, stage for stage; lower is better."""
RATES = {"vae": (5e-4, 1e-3, 2e-3, 4e-3), "denoiser": (5e-4, 1e-3), "autoencoder": (5e-4, 1e-3)}
SEED = 0
"""None of those that are compared."""


@dataclass(frozen=True)
class LearningRates:
    """Where, and for how long."""

    out: Path = Path("out/constructions")
    """That of `constructions.py`, whose phantom serves."""
    minutes: float = 1.0
    """Of training, a rate and stage."""
    page: Path = Path("docs/results/learning_rates.md")
    """Where the table goes."""


def main(settings: LearningRates) -> None:
    """Train stage by stage, each on the best of the stage before, and write what was found."""
    phantom = prepare_phantom(Constructions(out=settings.out))
    found = {name: search(settings, name, phantom) for name in (PAPER, BASE)}
    write_text(settings.page, render(found, settings))
    say(f"Wrote {settings.page}")


def search(settings: LearningRates, name: str, phantom: People) -> dict[str, dict[float, float]]:
    """Return the error by stage and rate."""
    preset = _planned(settings, contenders()[name].preset)
    found: dict[str, dict[float, float]] = {}
    for stage, rates in RATES.items():
        errors = {rate: _error(settings, _with_rate(preset, stage, rate), stage, phantom) for rate in rates}
        for rate, error in errors.items():
            say(f"{name}, {stage} at {rate:g}: {error:.4f}")
        preset = _with_rate(preset, stage, min(errors, key=errors.__getitem__))
        found[stage] = errors
    return found


def _planned(settings: LearningRates, preset: Preset) -> Preset:
    """Return the preset with as many steps as fit the time, as a first trial said."""
    path = settings.out / "rates" / f"{preset.name}.json"
    inputs = hash_settings([settings.minutes, preset.describe()])
    if not path.is_file() or read_json(path)["inputs"] != inputs:
        seconds = trial_seconds(with_steps(preset, dict.fromkeys(RATES, 1)), 1, DEVICE)
        steps = {stage: max(1, round(60 * settings.minutes / seconds[stage])) for stage in RATES}
        write_json(path, {"inputs": inputs, "steps": steps})
    return with_steps(preset, read_json(path)["steps"])


def _with_rate(preset: Preset, stage: str, rate: float) -> Preset:
    return replace(preset, **{stage: replace(getattr(preset, stage), learning_rate=rate)})


def _error(settings: LearningRates, preset: Preset, stage: str, phantom: People) -> float:
    """Train up to this stage, later ones for a step; what an earlier call trained alike is there already."""
    later = list(RATES)[list(RATES).index(stage) + 1 :]
    steps = {name: 1 if name in later else getattr(preset, name).steps for name in RATES}
    chosen = with_steps(preset, steps)
    path = settings.out / "rates" / f"{hash_settings([chosen.describe(), phantom.cache.hash, SEED])[:12]}.json"
    if not path.is_file():
        PRESETS[chosen.name] = chosen
        card = train_on(phantom, settings.out / "rates" / chosen.name, chosen, SEED)
        write_json(path, {"error": card.stages[stage].metrics[JUDGED_BY[stage]]})
    return read_json(path)["error"]


def render(found: Mapping[str, Mapping[str, Mapping[float, float]]], settings: LearningRates) -> str:
    """Return the page."""
    rows = [
        f"| {name} | {stage} | {', '.join(f'{rate:g}: {error:.4f}' for rate, error in errors.items())} "
        f"| {min(errors, key=errors.__getitem__):g} |"
        for name, stages in found.items()
        for stage, errors in stages.items()
    ]
    introduction = (
        f"Command: `python benchmarks/learning_rates.py`. Machine: {MACHINE}. {settings.minutes:g} min a rate "
        "and stage, each stage on the best of the stage before, one seed. Errors are means over validation people "
        "of the phantom of `constructions.py`, who are neither trained on nor tested: L1 of the VAE, and the "
        "weighted error of predicted noise, which differs between constructions. No intervals: they choose a rate "
        "and claim nothing. The search is coarse: few rates, some choices at the end of their range; batches and "
        "averages were not searched."
    )
    header = ["| what | stage | error by learning rate | chosen |", "|---|---|---|--:|"]
    return "\n".join(["# Learning rates of the constructions", "", introduction, "", *header, *rows, ""])


if __name__ == "__main__":
    main(tyro.cli(LearningRates))
