"""Compare what the VAE may learn from, or how fast: the `demo` VAE, as many steps of each from the same seed.

Run:    python benchmarks/vae_losses.py; python benchmarks/vae_losses.py --of rates
Cost:   about 20 and 7 minutes on two idle cores; what was cut off goes on, and a rerun does only what is missing
Writes: docs/results/vae_losses.md; docs/results/vae_rates.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from evidence import MACHINE

from neurolatent.analysis import scores
from neurolatent.analysis.intervals import Interval, Resamples, difference, interval, resample_subjects
from neurolatent.cohort.splits import read_split
from neurolatent.console import say
from neurolatent.device import autocast, pick_device
from neurolatent.metrics import comparison_region, masked_ssim
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import Preset, StageLength, find_preset
from neurolatent.provenance import hash_settings, read_json, write_json, write_text
from neurolatent.shapes import MaskVolume, Values, Volume
from neurolatent.training.batches import Scans, read_batch
from neurolatent.training.fit import FitOptions, fit_stage
from neurolatent.training.plan import stage_settings, trial_seconds
from neurolatent.volume.cache import VolumeCache, open_cache
from neurolatent.workspace import Workspace

FORMAT_VERSION = 2
EDGES, STRUCTURE, FREQUENCIES = {"edge_weight": 0.5}, {"structure_weight": 0.1}, {"frequency_weight": 4.0}
ADVERSARY = {"adversary_weight": 0.025}


@dataclass(frozen=True)
class Variant:
    """What one VAE learns from, beside L1 and KL, and how fast."""

    weights: Mapping[str, float]
    learning_rate: float = 2e-3
    """At which the losses are compared."""


LOSSES: Mapping[str, Variant] = {
    "L1": Variant({}),
    "L1 + edges": Variant(EDGES),
    "L1 + MS-SSIM": Variant(STRUCTURE),
    "L1 + focal frequency": Variant(FREQUENCIES),
    "L1 + MS-SSIM + focal frequency": Variant({**STRUCTURE, **FREQUENCIES}),
    "L1 + patch GAN": Variant(ADVERSARY),
    "L1 + edges + patch GAN": Variant({**EDGES, **ADVERSARY}),
}
"""MS-SSIM and frequencies pull on the weights about as hard as edges do at 0.5, measured on a VAE of 60 steps (that of
frequencies falls with the error, and was made three times as strong for it); the GAN's weight is the published one."""
RATES: Mapping[str, Variant] = {f"{rate:g}": Variant({**STRUCTURE, **FREQUENCIES}, rate) for rate in (2e-3, 4e-3, 8e-3)}
"""Of what `demo` learns from."""
QUESTIONS: Mapping[str, Mapping[str, Variant]] = {"losses": LOSSES, "rates": RATES}
QUANTITIES = {"ssim": "masked SSIM", "mae": "MAE", "sharpness": "sharpness"}
ROUNDS = 3
"""In which the losses take turns while their steps are timed, so that all meet the same machine."""
KEPT_OF_START = 0.0024
"""Share of the first weights in the moving average after the last step: what the `demo` preset leaves."""


@dataclass(frozen=True)
class Comparison:
    """On whom to learn, and for how long."""

    of: Literal["losses", "rates"] = "losses"
    """What is compared."""
    workspace: Path = Path("out/weights")
    """With a volume cache at 4 mm and a split."""
    folder: Path = Path("out/vae_losses")
    """Of results, and of trainings that are under way."""
    pages: Path = Path("docs/results")
    """Folder for the page, vae_losses.md or vae_rates.md."""
    steps: int = 300
    """Of the optimiser, for each loss."""
    seed: int = 1
    """Of weights, order and noise."""
    machine: str = MACHINE
    """What it runs on."""

    @property
    def variants(self) -> Mapping[str, Variant]:
        """What is compared; the rest is compared with the first."""
        return QUESTIONS[self.of]

    @property
    def page(self) -> Path:
        """Markdown file to write."""
        return self.pages / f"vae_{self.of}.md"


@dataclass(frozen=True)
class People:
    """Scans to learn from, and one scan of each person to measure on."""

    cache: VolumeCache
    training_rows: list[int]
    measured_rows: list[int]

    @property
    def names(self) -> list[str]:
        """Whom it is measured on."""
        return [self.cache.keys[row].participant_id for row in self.measured_rows]


def main(settings: Comparison) -> None:
    """Train and measure what is missing, time all losses side by side, and write the page."""
    people = read_people(settings.workspace)
    found = {name: measure(name, settings, people) for name in settings.variants}
    seconds = time_steps(settings) if settings.of == "losses" else {}
    write_text(settings.page, render(found, seconds, settings, people))
    say(f"Wrote {settings.page}")


def read_people(root: Path) -> People:
    """Read the split's training people, all scans, and validation people, the first scan of each."""
    workspace = Workspace(root)
    cache, split = open_cache(workspace.cache(find_preset("demo").spacing_mm)), read_split(workspace.split_json)
    firsts = {cache.keys[row].participant_id: row for row in reversed(cache.rows_of(split.validation_subjects()))}
    return People(cache, cache.rows_of(split.training_subjects()), sorted(firsts.values()))


def chosen_preset(variant: Variant, steps: int) -> Preset:
    """Return the preset with one of the variants; its average is as long, measured by the training's length."""
    demo = find_preset("demo")
    decay = KEPT_OF_START ** (1 / steps)
    length = replace(demo.vae, steps=steps, ema_decay=decay, learning_rate=variant.learning_rate)
    none = dict.fromkeys(
        ("edge_weight", "perceptual_weight", "structure_weight", "frequency_weight", "adversary_weight"), 0.0
    )
    return replace(demo, vae=length, **{**none, **variant.weights})


def measure(name: str, settings: Comparison, people: People) -> dict[str, list[float]]:
    """Train one of the variants and measure each person, unless the same has been done before."""
    preset = chosen_preset(settings.variants[name], settings.steps)
    rows = [people.training_rows, people.measured_rows]
    identity = hash_settings([FORMAT_VERSION, people.cache.hash, rows, settings.seed, stage_settings(preset, "vae")])
    path = settings.folder / f"{identity[:12]}.json"
    if path.is_file():
        return read_json(path)["values"]
    values = score(learn(name, preset, settings, people, path.with_suffix(".ckpt")), people)
    write_json(path, {"variant": name, "steps": settings.steps, "people": people.names, "values": values})
    path.with_suffix(".ckpt").unlink(missing_ok=True)
    return values


def learn(
    name: str, preset: Preset, settings: Comparison, people: People, checkpoint: Path
) -> LatentDiffusionAutoencoder:
    """Train the VAE, from the checkpoint where there is one."""

    def watch(_: str, done: int, total: int, /, note: str = "") -> None:
        if done % 25 == 0:
            say(f"{name}: step {done} of {total}, {note}")

    torch.manual_seed(settings.seed)
    model = LatentDiffusionAutoencoder(preset)
    options = FitOptions(
        steps=settings.steps,
        seed=settings.seed,
        device=pick_device(),
        checkpoint=checkpoint,
        log=checkpoint.with_suffix(".csv"),
        checkpoint_seconds=60.0,
        progress=watch,
    )
    fit_stage(model, "vae", Scans(people.cache, people.training_rows, preset.latent_variants), options)
    return model


def time_steps(settings: Comparison) -> dict[str, float]:
    """Return the least seconds a step with each loss, unless they have been taken here before."""
    device, presets = pick_device(), {name: one_step(chosen_preset(one, 1)) for name, one in LOSSES.items()}
    chosen = {name: stage_settings(preset, "vae") for name, preset in presets.items()}
    identity = hash_settings([FORMAT_VERSION, ROUNDS, settings.machine, device.type, torch.__version__, chosen])
    path = settings.folder / f"seconds-{identity[:12]}.json"
    if not path.is_file():
        rounds: list[dict[str, float]] = []
        for number in range(ROUNDS):
            say(f"Timing steps, round {number + 1} of {ROUNDS}")
            rounds.append({name: trial_seconds(preset, 1, device)["vae"] for name, preset in presets.items()})
        write_json(path, {"seconds": {name: min(times[name] for times in rounds) for name in presets}})
    return read_json(path)["seconds"]


def one_step(preset: Preset) -> Preset:
    """Return the preset with a step of each stage."""

    def once(length: StageLength) -> StageLength:
        return replace(length, steps=1)

    stages = {"vae": once(preset.vae), "denoiser": once(preset.denoiser), "autoencoder": once(preset.autoencoder)}
    return replace(preset, **stages)


@torch.no_grad()
def score(model: LatentDiffusionAutoencoder, people: People) -> dict[str, list[float]]:
    """Measure the reconstruction of each person's scan from the posterior's mean."""
    values: dict[str, list[float]] = {name: [] for name in QUANTITIES}
    for place, row in enumerate(people.measured_rows):
        scans = Scans(people.cache, people.measured_rows, 1)
        scan = read_batch(scans, [place], [0], want_volumes=True, want_latents=False)["volume"].to(model.device)
        mask = torch.from_numpy(np.array(people.cache.masks[row]))[None, None].to(model.device)
        with autocast(model.device, enabled=model.preset.mixed_precision):
            made = model.vae.decode(model.vae.encode(scan).mean).clamp(0, 1)
        region = comparison_region(mask)
        values["ssim"].append(float(masked_ssim(made, scan, mask)))
        values["mae"].append(float((made - scan).abs()[region].mean()))
        values["sharpness"].append(gradient_energy(made, region) / gradient_energy(scan, region))
    return values


def gradient_energy(volume: Volume, region: MaskVolume) -> float:
    """Add up the squared differences of neighbouring voxels that both lie in the region."""
    energy = 0.0
    for axis in (2, 3, 4):
        count = volume.shape[axis] - 1
        both = region.narrow(axis, 0, count) & region.narrow(axis, 1, count)
        energy += float((volume.diff(dim=axis)[both].double() ** 2).sum())
    return energy


def render(
    found: Mapping[str, Mapping[str, list[float]]], seconds: Mapping[str, float], settings: Comparison, people: People
) -> str:
    """Return the page: values, and differences from L1 alone on the same draws of people."""
    draws = resample_subjects(people.names, seed=0)
    values = {variant: {name: np.array(row[name]) for name in QUANTITIES} for variant, row in found.items()}
    what = {"losses": "loss", "rates": "learning rate"}[settings.of]
    header = [what, *QUANTITIES.values(), *(["seconds a step"] if seconds else [])]
    rows = [
        [
            variant,
            *(_cell(draws, row[name]) for name in QUANTITIES),
            *([f"{seconds[variant]:.2f}"] if seconds else []),
        ]
        for variant, row in values.items()
    ]
    (first, plain), *others = values.items()
    paired = [[variant, *(_cell(draws, row[name], plain[name]) for name in QUANTITIES)] for variant, row in others]
    title = {"losses": "What the VAE learns from, compared", "rates": "How fast the VAE learns, compared"}[settings.of]
    question = "" if settings.of == "losses" else f"--of {settings.of} "
    parts = [
        f"# {title}",
        f"Command: `python benchmarks/vae_losses.py {question}--steps {settings.steps}`. Machine: {settings.machine}.",
        _explained(settings, scans=len(people.training_rows), people=draws.n_subjects),
        "## Values",
        _table(header, rows),
        f"## Differences from {first}{' alone' if settings.of == 'losses' else ''}, paired by person",
        _table([what, *QUANTITIES.values()], paired),
    ]
    return "\n\n".join(parts) + "\n"


def _explained(settings: Comparison, *, scans: int, people: int) -> str:
    setting = (
        f"The `demo` VAE, {settings.steps} steps of each from the same seed, on {scans} scans of a phantom at 4 mm. "
        f"Measured on one scan of each of {people} validation people, inside the brain's mask dilated by a voxel, from "
        "the posterior's mean. Sharpness is the squared differences of neighbouring voxels, added up, against the "
        "scan's own: 1 is as sharp, less is blurred, more is noise. Intervals of 95 % are over people drawn again and "
        "say nothing of another seed."
    )
    if settings.of == "rates":
        return f"{setting} What a rate gains in so few steps it may lose in more."
    weights = "; ".join(
        f"{loss}: {', '.join(f'{name} {value:g}' for name, value in variant.weights.items())}"
        for loss, variant in settings.variants.items()
        if variant.weights
    )
    return (
        f"{setting} Seconds a step are of trial steps on noise, apart from the training: the least of {ROUNDS} rounds "
        f"in which the losses take turns, and a tenth for what is not timed.\n\n"
        f"Weights, beside L1 at 1 and KL at 1e-6: {weights}."
    )


def _cell(draws: Resamples, values: Values, others: Values | None = None) -> str:
    statistic = scores.mean(values)
    if others is None:
        return _written(interval(draws, statistic), "")
    return _written(interval(draws, difference(statistic, scores.mean(others))), "+")


def _written(found: Interval, sign: str) -> str:
    return f"{found.value:{sign}.4f} [{found.low:{sign}.4f}, {found.high:{sign}.4f}]"


def _table(header: list[str], rows: list[list[str]]) -> str:
    rule = ["---", *("--:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])


if __name__ == "__main__":
    main(tyro.cli(Comparison))
