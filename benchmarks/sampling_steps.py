"""Find the fewest sampling steps that cost less than 0.005 masked SSIM against 100 DDIM steps each way.

Run:    python benchmarks/sampling_steps.py
Cost:   about 4 minutes on two cores for the demo; the rows of a second model the same again
Expect: 5 steps suffice for the demo, 10 for base's construction
Writes: docs/results/sampling_steps.md

A round trip alone might be too kind, for decoding undoes what encoding does wrong. So a z_T drawn at random is decoded
too, with the same y, and compared with what 100 steps make of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import tyro
from contender_scores import DEVICE, open_people
from contenders import contenders
from evidence import MACHINE

from neurolatent.analysis.generation import Generator
from neurolatent.analysis.intervals import Interval, Resamples, difference, interval, resample_subjects
from neurolatent.analysis.likeness import score
from neurolatent.analysis.scores import mean
from neurolatent.analysis.selection import draw_people, subjects
from neurolatent.console import say
from neurolatent.model.presets import PRESETS, find_preset
from neurolatent.model.solvers import Solver
from neurolatent.model.weights import load_autoencoder, read_card
from neurolatent.provenance import hash_settings, read_json, write_json, write_text
from neurolatent.shapes import VolumeArray

STEPS = (2, 3, 5, 7, 10, 15, 20, 50)
MOST_STEPS = 100
SOLVERS: tuple[Solver, ...] = ("ddim", "adams-bashforth", "dpm-solver++")
ALLOWED = 0.005
SEED = 1
REBUILT, DRAWN = "rebuilt", "drawn"
FORMAT = 2
Scores = Mapping[str, Mapping[str, float]]
"""`rebuilt` and `drawn` → masked SSIM by person."""


@dataclass(frozen=True)
class SamplingSteps:
    """Which models, on whom."""

    models: tuple[Path, ...] = (Path("out/weights/model/demo"),)
    """Folders of weights."""
    workspaces: tuple[Path, ...] = (Path("out/weights"),)
    """The preprocessed phantoms that they were trained on, in the same order."""
    scans: int = 12
    """Validation people of each, one scan each."""
    out: Path = Path("out/sampling_steps")
    """What was measured; a rerun takes it from there."""
    page: Path = Path("docs/results/sampling_steps.md")
    """Where the tables go."""


def main(settings: SamplingSteps) -> None:
    """Measure each model, and write the page."""
    PRESETS.update({one.preset.name: one.preset for one in contenders().values()})
    pairs = zip(settings.models, settings.workspaces, strict=True)
    tables = [_tables(settings, folder, root) for folder, root in pairs]
    names = [read_card(folder).preset for folder in settings.models]
    introduction = (
        f"Command: `python benchmarks/sampling_steps.py --models {' '.join(f'MODEL-OF-{name}' for name in names)} "
        f"--workspaces {' '.join(f'WORKSPACE-OF-{name}' for name in names)}`. Machine: {MACHINE}. Validation people of "
        "the phantom that each model was trained on; 95 % intervals from drawing people again. All against "
        f"{MOST_STEPS} DDIM steps at the same spacing, as many there as back. A preset's default is the fewest steps "
        f"that cost less than {ALLOWED:g}, the whole interval counted; `base` takes those of `base-small`, base's "
        "construction as `constructions.py` trains it: at 5 mm, a quarter as wide."
    )
    write_text(settings.page, "\n\n".join(["# How many sampling steps", introduction, *tables]) + "\n")


def _tables(settings: SamplingSteps, folder: Path, root: Path) -> str:
    card = read_card(folder)
    path = settings.out / f"{hash_settings([FORMAT, card.weights_hash, str(root), settings.scans])[:12]}.json"
    if not path.is_file():
        write_json(path, _measure(folder, root, settings.scans))
    found: Mapping[str, Scores] = read_json(path)
    exact = found[f"ddim {MOST_STEPS}"][REBUILT]
    people = sorted(exact)
    draws, reference = resample_subjects(people, seed=SEED), mean(_values(exact, people))

    def lost(scores: Scores) -> Interval:
        return interval(draws, difference(mean(_values(scores[REBUILT], people)), reference))

    solver = find_preset(card.preset).solver
    enough = next((steps for steps in STEPS if lost(found[f"{solver} {steps}"]).low > -ALLOWED), MOST_STEPS)
    rebuilt = (
        f"Scans rebuilt from y and the z_T inferred with it: masked SSIM, less that of {MOST_STEPS} DDIM steps "
        f"({_values(exact, people).mean():.4f}). The fewest steps of {solver} whose interval lies above {-ALLOWED:g}: "
        f"{enough}."
    )
    drawn = f"The same y with a z_T drawn at random: masked SSIM with what {MOST_STEPS} DDIM steps make of it."
    table_of_drawn = _table(found, lambda scores: _likeness_cell(scores[DRAWN], people, draws))
    title = f"## {card.preset}, {len(people)} people"
    return "\n\n".join([title, rebuilt, _table(found, lambda scores: _signed(lost(scores))), drawn, table_of_drawn])


def _table(found: Mapping[str, Scores], cell: Callable[[Scores], str]) -> str:
    header = ["| steps | " + " | ".join(SOLVERS) + " |", "|--:|" + "---|" * len(SOLVERS)]
    rows = [[cell(found[f"{solver} {steps}"]) for solver in SOLVERS] for steps in STEPS]
    return "\n".join([*header, *(f"| {steps} | {' | '.join(row)} |" for steps, row in zip(STEPS, rows, strict=True))])


def _signed(one: Interval) -> str:
    return f"{one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}]"


def _likeness_cell(values: Mapping[str, float], people: list[str], draws: Resamples) -> str:
    one = interval(draws, mean(_values(values, people)))
    return f"{one.value:.4f} [{one.low:.4f}, {one.high:.4f}]"


def _values(found: Mapping[str, float], people: list[str]) -> np.ndarray:
    return np.array([found[person] for person in people])


def _measure(folder: Path, root: Path, scans: int) -> dict[str, Scores]:
    model, _ = load_autoencoder(folder, device=DEVICE)
    people = open_people(root, model.preset.spacing_mm)
    chosen = people.chosen(frozenset(draw_people(people.split.validation_subjects(), most=scans, seed=SEED)))
    volumes, masks = people.volumes(chosen), people.masks(chosen)
    codes = Generator(model, DEVICE, MOST_STEPS).semantic(volumes)
    found: dict[str, Scores] = {}
    reference: VolumeArray | None = None

    def ssim(made: VolumeArray, wanted: VolumeArray) -> dict[str, float]:
        values = score(made, wanted, masks).ssim
        return dict(zip(subjects(chosen), [] if values is None else values.tolist(), strict=True))

    for solver, steps in [("ddim", MOST_STEPS), *product(SOLVERS, STEPS)]:
        model.preset = replace(model.preset, solver=solver)
        generator = Generator(model, DEVICE, steps)
        rebuilt = generator.generate(codes, generator.infer_noise(volumes, codes), what=REBUILT)
        drawn = generator.generate(codes, generator.draw_noise(len(chosen), seed=SEED), what=DRAWN)
        reference = drawn if reference is None else reference
        scores = {REBUILT: ssim(rebuilt, volumes), DRAWN: ssim(drawn, reference)}
        means = {what: np.mean(list(of.values())) for what, of in scores.items()}
        say(f"{folder}: {solver}, {steps} steps: {means[REBUILT]:.4f} rebuilt, {means[DRAWN]:.4f} drawn")
        found[f"{solver} {steps}"] = scores
    return found


if __name__ == "__main__":
    main(tyro.cli(SamplingSteps))
