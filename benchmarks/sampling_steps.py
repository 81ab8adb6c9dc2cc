"""Find the fewest sampling steps that cost less than 0.005 masked SSIM against 100 DDIM steps each way.

Run:    python benchmarks/sampling_steps.py
Cost:   about 10 minutes on two cores with the demo's workspace; the rows of a second model the same again
Expect: 10 steps suffice
Writes: docs/results/sampling_steps.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from contender_scores import DEVICE, People, open_people
from contenders import contenders
from evidence import MACHINE

from neurolatent.analysis.generation import Generator
from neurolatent.analysis.intervals import difference, interval, resample_subjects
from neurolatent.analysis.likeness import score
from neurolatent.analysis.scores import mean
from neurolatent.analysis.selection import draw_people, subjects
from neurolatent.console import say
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import PRESETS
from neurolatent.model.solvers import Solver
from neurolatent.model.weights import load_autoencoder, read_card
from neurolatent.provenance import hash_settings, read_json, write_json, write_text

STEPS = (2, 3, 5, 7, 10, 15, 20, 50)
MOST_STEPS = 100
SOLVERS: tuple[Solver, ...] = ("ddim", "adams-bashforth", "dpm-solver++")
ALLOWED = 0.005
SEED = 1


@dataclass(frozen=True)
class SamplingSteps:
    """Which models, on whom."""

    models: tuple[Path, ...] = (Path("out/demo/model/demo"),)
    """Folders of weights."""
    workspaces: tuple[Path, ...] = (Path("out/demo"),)
    """Preprocessed phantoms that the models never met, in the same order."""
    scans: int = 30
    """Test people of each, one scan each."""
    out: Path = Path("out/sampling_steps")
    """What was measured; a rerun takes it from there."""
    page: Path = Path("docs/results/sampling_steps.md")
    """Where the tables go."""


def main(settings: SamplingSteps) -> None:
    """Measure each model, and write the page."""
    PRESETS.update({one.preset.name: one.preset for one in contenders().values()})
    tables = [_table(settings, folder, root) for folder, root in zip(settings.models, settings.workspaces, strict=True)]
    models = " ".join(f".../{folder.name}" for folder in settings.models)
    introduction = (
        f"Command: `python benchmarks/sampling_steps.py --models {models}`. Machine: {MACHINE}. Masked SSIM of scans "
        f"rebuilt from y and the z_T inferred with it, less that of {MOST_STEPS} DDIM steps at the same spacing, as "
        f"many there as back; 95 % intervals from drawing people again. A default may cost {ALLOWED:g}. `base-small` "
        "is base's construction as `constructions.py` trains it: at 5 mm, a quarter as wide."
    )
    write_text(settings.page, "\n\n".join(["# How many sampling steps", introduction, *tables]) + "\n")


def _table(settings: SamplingSteps, folder: Path, root: Path) -> str:
    card = read_card(folder)
    path = settings.out / f"{hash_settings([card.weights_hash, str(root), settings.scans])[:12]}.json"
    if not path.is_file():
        write_json(path, _measure(folder, root, settings.scans))
    found: Mapping[str, Mapping[str, float]] = read_json(path)
    exact, people = found[f"ddim {MOST_STEPS}"], sorted(found[f"ddim {MOST_STEPS}"])
    draws = resample_subjects(people, seed=SEED)
    reference = mean(_values(exact, people))
    rows = [
        f"## {card.preset}, {len(people)} people",
        "",
        f"{MOST_STEPS} DDIM steps: {_values(exact, people).mean():.4f}.",
        "",
        "| steps each way | " + " | ".join(SOLVERS) + " |",
        "|--:|" + "---|" * len(SOLVERS),
    ]
    for steps in STEPS:
        lost = [
            interval(draws, difference(mean(_values(found[f"{solver} {steps}"], people)), reference))
            for solver in SOLVERS
        ]
        cells = [f"{one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}]" for one in lost]
        rows.append(f"| {steps} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _values(found: Mapping[str, float], people: list[str]) -> np.ndarray:
    return np.array([found[person] for person in people])


def _measure(folder: Path, root: Path, scans: int) -> dict[str, dict[str, float]]:
    model, _ = load_autoencoder(folder, device=DEVICE)
    people = open_people(root, model.preset.spacing_mm)
    drawn = frozenset(draw_people(people.split.test_subjects(), most=scans, seed=SEED))
    found = {f"ddim {MOST_STEPS}": _likeness(model, people, drawn, "ddim", MOST_STEPS)}
    for steps in STEPS:
        for solver in SOLVERS:
            found[f"{solver} {steps}"] = _likeness(model, people, drawn, solver, steps)
            say(f"{folder}: {solver}, {steps} steps: {np.mean(list(found[f'{solver} {steps}'].values())):.4f}")
    return found


def _likeness(
    model: LatentDiffusionAutoencoder, people: People, drawn: frozenset[str], solver: Solver, steps: int
) -> dict[str, float]:
    model.preset = replace(model.preset, solver=solver)
    chosen = people.chosen(drawn)
    generator, volumes = Generator(model, DEVICE, steps), people.volumes(chosen)
    codes = generator.semantic(volumes)
    rebuilt = generator.generate(codes, generator.infer_noise(volumes, codes), what="rebuilt")
    values = score(rebuilt, volumes, people.masks(chosen)).ssim
    return dict(zip(subjects(chosen), [] if values is None else values.tolist(), strict=True))


if __name__ == "__main__":
    main(tyro.cli(SamplingSteps))
