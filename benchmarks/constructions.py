"""Train the paper's and base's constructions side by side, scaled alike, for equal time; voxels' diffusion beside them.

Run:    python benchmarks/constructions.py --heads PATH/TO/IXI
Cost:   15 minutes a contender and seed on two cores, and up to 10 to score it, hence 2½ hours; a rerun goes on
Expect: base's construction scores no lower, and reconstructs more than ten times as fast
Writes: docs/results/constructions.md, and beside it what each contender scored on each person, seed by seed: what is
        there is not trained again
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from contender_scores import People, evaluate, open_people, time_passes
from contender_tables import draw_qualities, draw_sizes, draw_speeds
from contenders import BASE, DEVICE, FACTOR, PAPER, SPACING_MM, VOXELS, contenders, plan, with_steps
from evidence import MACHINE

from neurolatent import cohort_steps
from neurolatent.console import progress_bars, say
from neurolatent.model.presets import PRESETS, Preset
from neurolatent.model.weights import Card
from neurolatent.provenance import hash_settings, read_json, write_json, write_text
from neurolatent.training import stages
from neurolatent.training.plan import STAGES, stage_settings
from neurolatent.volume.preprocess import preprocess
from neurolatent.workspace import Workspace

PHANTOM_SEED = 5
FRACTIONS = (0.44, 0.06, 0.5)
"""Half of the people are tested: a difference of AUCs needs many."""
DECIMALS = 5
TRIAL_SEED = 0


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
    kept: Path = Path("docs/results/constructions")
    """Where steps, speeds and every person's scores are kept."""


def main(settings: Constructions) -> None:
    """Prepare, train, score, write."""
    phantom = prepare_phantom(settings)
    heads = _prepare_heads(settings) if settings.heads else None
    presets = _plan_once(settings, phantom)
    PRESETS.update({preset.name: preset for preset in presets.values()})
    for name, seed in _turns(settings):
        if _scores(settings, presets[name], seed) is None:
            _score(settings, presets[name], seed, phantom, heads)
            _write_page(settings, presets)
    _time(settings, presets, phantom)
    _write_page(settings, presets)


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
    path = settings.kept / "plan.json"
    chosen = {name: one.preset for name, one in contenders().items()}
    scans = len(phantom.cache.rows_of(phantom.split.training_subjects()))
    inputs = hash_settings([settings.minutes, scans, [_identity(preset) for preset in chosen.values()]])
    known: dict[str, Any] = read_json(path) if path.is_file() else {}
    if known.get("inputs") != inputs:

        def train(preset: Preset) -> Card:
            return train_on(phantom, _folder(settings, preset, TRIAL_SEED), preset, TRIAL_SEED)

        planned = {
            name: plan(one, minutes=settings.minutes, scans=scans, train=train) for name, one in contenders().items()
        }
        counts = {n: {s: getattr(p, s).steps for s in ("vae", "denoiser", "autoencoder")} for n, p in planned.items()}
        known = {"inputs": inputs, "machine": MACHINE, "steps": counts}
        write_json(path, known)
    return {name: with_steps(preset, known["steps"][name]) for name, preset in chosen.items()}


def _turns(settings: Constructions) -> list[tuple[str, int]]:
    """Return who trains when: the models of a seed one after another; what has fewer seeds comes last."""
    turns = [(name, seed) for name in contenders() for seed in _seeds(settings, name)]
    return sorted(turns, key=lambda turn: (contenders()[turn[0]].most_seeds is not None, turn[1]))


def _seeds(settings: Constructions, name: str) -> range:
    return range(1, min(settings.seeds, contenders()[name].most_seeds or settings.seeds) + 1)


def _folder(settings: Constructions, preset: Preset, seed: int) -> Path:
    """Name a training by its settings, so that other settings train anew."""
    return settings.out / f"{preset.name}-{hash_settings([_identity(preset), seed])[:8]}-seed-{seed}"


def _identity(preset: Preset) -> list[object]:
    """Return what, when changed, makes other weights or other scores."""
    return [*(stage_settings(preset, stage) for stage in STAGES), preset.sampling_steps, preset.solver, preset.spacing]


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


def _scores(settings: Constructions, preset: Preset, seed: int) -> dict[str, Any] | None:
    """Return what a contender scored, if it was trained and scored with these settings before."""
    path = _kept(settings, preset, seed)
    known: dict[str, Any] = read_json(path) if path.is_file() else {}
    return known if known.get("inputs") == _inputs(settings, preset, seed) else None


def _kept(settings: Constructions, preset: Preset, seed: int) -> Path:
    return settings.kept / f"{preset.name}-seed-{seed}.json"


def _inputs(settings: Constructions, preset: Preset, seed: int) -> str:
    whom = [settings.people, PHANTOM_SEED, FRACTIONS, _rebuilt(settings, preset), settings.heads is not None]
    return hash_settings([_identity(preset), seed, *whom])


def _rebuilt(settings: Constructions, preset: Preset) -> int:
    """Return how many scans of each cohort are rebuilt: the fewer ones are among the others' more."""
    limits = {one.preset.name: one.most_rebuilt for one in contenders().values()}
    return min(settings.rebuilt, limits[preset.name] or settings.rebuilt)


def _score(settings: Constructions, preset: Preset, seed: int, phantom: People, heads: People | None) -> None:
    """Train, score, and keep the scores."""
    folder = _folder(settings, preset, seed)
    train_on(phantom, folder, preset, seed)
    say(f"Scoring {preset.name}, seed {seed}")
    found = rounded(evaluate(folder, phantom, heads, rebuilt=_rebuilt(settings, preset)))
    inputs = _inputs(settings, preset, seed)
    write_json(_kept(settings, preset, seed), {"inputs": inputs, "machine": MACHINE, **found})


def rounded(found: Any) -> Any:
    """Keep of every number what an interval can tell."""
    if isinstance(found, Mapping):
        return {name: rounded(value) for name, value in found.items()}
    return round(found, DECIMALS) if isinstance(found, float) else found


def _time(settings: Constructions, presets: Mapping[str, Preset], phantom: People) -> None:
    path = settings.kept / "speeds.json"
    inputs = hash_settings([_identity(preset) for preset in presets.values()])
    if not path.is_file() or read_json(path)["inputs"] != inputs:
        write_json(path, {"inputs": inputs, "machine": MACHINE, "seconds": time_passes(presets, phantom)})


def _write_page(settings: Constructions, presets: Mapping[str, Preset]) -> None:
    """Write what is known so far, once both constructions are there; they are compared by the seeds that both have."""
    known = {
        name: {seed: scores for seed in _seeds(settings, name) if (scores := _scores(settings, preset, seed))}
        for name, preset in presets.items()
    }
    common = sorted(known[PAPER].keys() & known[BASE].keys())
    if not common:
        return
    compared = {PAPER: [known[PAPER][seed] for seed in common], BASE: [known[BASE][seed] for seed in common]}
    found = compared | ({VOXELS: list(known[VOXELS].values())} if known[VOXELS] else {})
    speeds = settings.kept / "speeds.json"
    write_text(settings.page, _page(settings, presets, found, read_json(speeds) if speeds.is_file() else {}))


def _page(
    settings: Constructions,
    presets: Mapping[str, Preset],
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    speeds: Mapping[str, Any],
) -> str:
    command = " ".join(["python benchmarks/constructions.py", *(["--heads PATH/TO/IXI"] if settings.heads else [])])
    planned_on = read_json(settings.kept / "plan.json")["machine"]
    machines = sorted({one["machine"] for seeds in found.values() for one in seeds})
    complete = VOXELS in found and speeds and len(found[PAPER]) == settings.seeds
    missing = "" if complete else " Not all of it has been run yet: the same command goes on."
    introduction = (
        f"Command: `{command}`. Machine: {' or '.join(machines)}. "
        f"The paper's construction and base's, both at {SPACING_MM:g} mm instead of 1.5 and with all widths times "
        f"{FACTOR:g}, learn from the same people of a phantom of {settings.people} ({FRACTIONS[0]:.0%} to learn from, "
        f"{FRACTIONS[2]:.0%} to be tested), each for as many steps as {settings.minutes:g} minutes held in a trial on "
        f"{planned_on}, idle (the minutes below are those that it took where a seed was trained, whatever else ran; a "
        "seed's models were trained on one machine); seeds: "
        f"{len(found[PAPER])} of {settings.seeds}. All learn with the same optimiser, and both VAEs from the same "
        "losses, those of `base`: "
        "the paper's own adversary and perceptual network are left out. Base's latent keeps more values than the "
        "paper's, which is part of its construction, and of its likeness. Diffusion in voxels is the paper's kind of "
        "networks without a VAE: two levels more, where voxels are many and narrow, attention at the bottom only, 20 "
        "sampling steps, one seed, fewer scans rebuilt, its learning rates not searched; its y + z_T loses only what "
        "sampling there and back does not undo, however little was learnt. The learning rates of the other two were "
        "chosen for both alike on validation people, coarsely ([learning_rates.md](learning_rates.md)). Intervals "
        "(95 %) are from drawing people again, each person's mean over the seeds, and condition on the trained "
        "weights. "
        f"Every person's scores lie in [{settings.kept.name}]({settings.kept.name}).{missing}"
    )
    shown = {name: presets[name] for name in found}
    parts = ["# Constructions side by side", introduction, draw_sizes(shown, found), draw_qualities(found)]
    return "\n\n".join([*parts, *([draw_speeds(speeds, presets)] if speeds else [])]) + "\n"


if __name__ == "__main__":
    main(tyro.cli(Constructions))
