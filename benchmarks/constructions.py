"""Train the paper's and base's constructions side by side, scaled alike, for equal time; voxels' diffusion beside them.

Run:    python benchmarks/constructions.py --heads PATH/TO/IXI
Cost:   15 minutes a contender and seed on two cores, and up to 10 to score it, hence 2½ hours; a rerun goes on
Expect: base's construction scores no lower, and reconstructs more than ten times as fast
Writes: docs/results/constructions.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro
from contender_scores import DEVICE, People, evaluate, open_people, time_passes
from contender_tables import draw_qualities, draw_sizes, draw_speeds
from contenders import FACTOR, SPACING_MM, contenders, plan
from evidence import MACHINE

from neurolatent import cohort_steps
from neurolatent.console import progress_bars, say
from neurolatent.model.presets import PRESETS, Preset
from neurolatent.model.weights import Card, read_card
from neurolatent.provenance import hash_settings, read_json, write_json, write_text
from neurolatent.training import stages
from neurolatent.volume.preprocess import preprocess
from neurolatent.workspace import Workspace

PHANTOM_SEED = 5
FRACTIONS = (0.44, 0.06, 0.5)
"""Half of the people are tested: a difference of AUCs needs many."""


@dataclass(frozen=True)
class Constructions:
    """What is compared, on whom."""

    out: Path = Path("out/constructions")
    """Cohorts, models and scores; a rerun goes on there."""
    heads: Path | None = None
    """Folder of IXI's scans, which none is trained on."""
    people: int = 900
    """Of the phantom, one scan each."""
    minutes: float = 15.0
    """Of training, a contender and seed."""
    seeds: int = 3
    """Of initial weights, order and noise."""
    rebuilt: int = 24
    """Scans of each cohort that are rebuilt from y and z_T."""
    page: Path = Path("docs/results/constructions.md")
    """Where the tables go."""


def main(settings: Constructions) -> None:
    """Prepare, train, score, write."""
    phantom = prepare_phantom(settings)
    heads = _prepare_heads(settings) if settings.heads else None
    presets = _plan_once(settings, phantom)
    PRESETS.update({preset.name: preset for preset in presets.values()})
    for name, seed in _turns(settings):
        train_on(phantom, _folder(settings, presets[name], seed), presets[name], seed)
        _score(settings, name, presets[name], seed, phantom, heads)
    _time(settings, presets, phantom)
    write_text(settings.page, _page(settings, presets))


def prepare_phantom(settings: Constructions) -> People:
    """Make the phantom, preprocess it, split it."""
    root = settings.out / "phantom"
    made = cohort_steps.PhantomSettings(subjects=settings.people, visits=1, spacing_mm=SPACING_MM)
    with progress_bars() as progress:
        cohort_steps.build(
            "phantom", None, out=root, seed=PHANTOM_SEED, fractions=FRACTIONS, phantom=made, progress=progress
        )
        preprocess(Workspace(root), spacing_mm=SPACING_MM, jobs=2, progress=progress)
    return open_people(root, SPACING_MM)


def _prepare_heads(settings: Constructions) -> People:
    root = settings.out / "heads"
    with progress_bars() as progress:
        cohort_steps.build("ixi", settings.heads, out=root, progress=progress)
        preprocess(Workspace(root), spacing_mm=SPACING_MM, jobs=2, progress=progress)
    return open_people(root, SPACING_MM)


def _plan_once(settings: Constructions, phantom: People) -> dict[str, Preset]:
    """Return the presets with their steps; a rerun takes those that the first run's trial gave."""
    path = settings.out / "plan.json"
    chosen = {name: one.preset for name, one in contenders().items()}
    scans = len(phantom.cache.rows_of(phantom.split.training_subjects()))
    inputs = hash_settings([settings.minutes, scans, [preset.describe() for preset in chosen.values()]])
    known: dict[str, Any] = read_json(path) if path.is_file() else {}
    if known.get("inputs") != inputs:
        planned = {
            name: plan(one, minutes=settings.minutes, scans=scans, device=DEVICE) for name, one in contenders().items()
        }
        counts = {n: {s: getattr(p, s).steps for s in ("vae", "denoiser", "autoencoder")} for n, p in planned.items()}
        known = {"inputs": inputs, "steps": counts}
        write_json(path, known)
    return {
        name: replace(
            preset, **{stage: replace(getattr(preset, stage), steps=n) for stage, n in known["steps"][name].items()}
        )
        for name, preset in chosen.items()
    }


def _turns(settings: Constructions) -> list[tuple[str, int]]:
    """Return who trains when: the models of a seed one after another; what has fewer seeds comes last."""
    turns = [(name, seed) for name in contenders() for seed in _seeds(settings, name)]
    return sorted(turns, key=lambda turn: (contenders()[turn[0]].most_seeds is not None, turn[1]))


def _seeds(settings: Constructions, name: str) -> range:
    return range(1, min(settings.seeds, contenders()[name].most_seeds or settings.seeds) + 1)


def _folder(settings: Constructions, preset: Preset, seed: int) -> Path:
    """Name a training by its settings, so that other settings train anew."""
    return settings.out / f"{preset.name}-{hash_settings([preset.describe(), seed])[:8]}-seed-{seed}"


def train_on(phantom: People, folder: Path, preset: Preset, seed: int) -> Card:
    """Train a contender on the phantom's training people; what is finished in the folder is not done again."""
    split, cache = phantom.split, phantom.cache
    with progress_bars() as progress:
        return stages.train(
            cache,
            folder,
            preset=preset,
            training_rows=cache.rows_of(split.training_subjects()),
            validation_rows=cache.rows_of(split.validation_subjects()),
            cohort="phantom",
            seed=seed,
            device=DEVICE,
            progress=progress,
        )


def _score(
    settings: Constructions, name: str, preset: Preset, seed: int, phantom: People, heads: People | None
) -> None:
    """Score what has not been scored on these people."""
    folder = _folder(settings, preset, seed)
    cohorts = [phantom.cache.hash, phantom.split.hash, heads.cache.hash if heads else None, settings.rebuilt]
    inputs = hash_settings([read_card(folder).weights_hash, *cohorts])
    path = folder / "scores.json"
    if not path.is_file() or read_json(path).get("inputs") != inputs:
        say(f"Scoring {name}, seed {seed}")
        write_json(path, {"inputs": inputs, **evaluate(folder, phantom, heads, rebuilt=settings.rebuilt)})


def _time(settings: Constructions, presets: Mapping[str, Preset], phantom: People) -> None:
    path = settings.out / "speeds.json"
    folders = {name: _folder(settings, preset, 1) for name, preset in presets.items()}
    inputs = hash_settings([read_card(folder).weights_hash for folder in folders.values()])
    if not path.is_file() or read_json(path)["inputs"] != inputs:
        write_json(path, {"inputs": inputs, "seconds": time_passes(folders, phantom)})


def _page(settings: Constructions, presets: Mapping[str, Preset]) -> str:
    found = {
        name: [read_json(_folder(settings, preset, seed) / "scores.json") for seed in _seeds(settings, name)]
        for name, preset in presets.items()
    }
    command = " ".join(["python benchmarks/constructions.py", *(["--heads PATH/TO/IXI"] if settings.heads else [])])
    introduction = (
        f"Command: `{command}`. Machine: {MACHINE}. The paper's construction and base's, both at {SPACING_MM:g} mm "
        f"instead of 1.5 and with all widths times {FACTOR:g}, learn from the same people of a phantom of "
        f"{settings.people} ({FRACTIONS[0]:.0%} to learn from, {FRACTIONS[2]:.0%} to be tested) for "
        f"{settings.minutes:g} minutes each, {settings.seeds} seeds. Diffusion in voxels is the paper's own networks "
        "without its VAE, one seed. Learning rates were chosen for both alike on validation people "
        "([learning_rates.md](learning_rates.md)). Intervals (95 %) are from drawing people again, each person's mean "
        "over the seeds, and condition on the trained weights."
    )
    seconds = read_json(settings.out / "speeds.json")["seconds"]
    parts = ["# Constructions side by side", introduction, draw_sizes(presets, found), draw_qualities(found)]
    return "\n\n".join([*parts, draw_speeds(seconds)]) + "\n"


if __name__ == "__main__":
    main(tyro.cli(Constructions))
