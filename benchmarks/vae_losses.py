"""Compare what the VAE may learn from: the `demo` VAE, as many steps of each loss from the same seed.

Run:    python benchmarks/vae_losses.py
Cost:   about 20 minutes on two idle cores; what was cut off goes on, and a rerun does only what is missing
Writes: docs/results/vae_losses.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

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
LOSSES: Mapping[str, Mapping[str, float]] = {
    "L1": {},
    "L1 + edges": EDGES,
    "L1 + MS-SSIM": STRUCTURE,
    "L1 + focal frequency": FREQUENCIES,
    "L1 + MS-SSIM + focal frequency": {**STRUCTURE, **FREQUENCIES},
    "L1 + patch GAN": ADVERSARY,
    "L1 + edges + patch GAN": {**EDGES, **ADVERSARY},
}
"""MS-SSIM and frequencies pull on the weights about as hard as edges do at 0.5, measured on a VAE of 60 steps (that of
frequencies falls with the error, and was made three times as strong for it); the GAN's weight is the published one."""
QUANTITIES = {"ssim": "masked SSIM", "mae": "MAE", "sharpness": "sharpness"}
ROUNDS = 3
"""In which the losses take turns while their steps are timed, so that all meet the same machine."""
KEPT_OF_START = 0.0024
"""Share of the first weights in the moving average after the last step: what the `demo` preset leaves."""


@dataclass(frozen=True)
class Comparison:
    """On whom to learn, and for how long."""

    workspace: Path = Path("out/weights")
    """With a volume cache at 4 mm and a split."""
    folder: Path = Path("out/vae_losses")
    """Of results, and of trainings that are under way."""
    page: Path = Path("docs/results/vae_losses.md")
    """Markdown file to write."""
    steps: int = 300
    """Of the optimiser, for each loss."""
    seed: int = 1
    """Of weights, order and noise."""
    machine: str = MACHINE
    """What it runs on."""


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
    found = {name: measure(name, settings, people) for name in LOSSES}
    write_text(settings.page, render(found, time_steps(settings), settings, people))
    say(f"Wrote {settings.page}")


def read_people(root: Path) -> People:
    """Read the split's training people, all scans, and validation people, the first scan of each."""
    workspace = Workspace(root)
    cache, split = open_cache(workspace.cache(find_preset("demo").spacing_mm)), read_split(workspace.split_json)
    firsts = {cache.keys[row].participant_id: row for row in reversed(cache.rows_of(split.validation_subjects()))}
    return People(cache, cache.rows_of(split.training_subjects()), sorted(firsts.values()))


def chosen_preset(name: str, steps: int) -> Preset:
    """Return the preset with one of the losses; its average is as long, measured by the training's length."""
    demo = find_preset("demo")
    length = replace(demo.vae, steps=steps, ema_decay=KEPT_OF_START ** (1 / steps))
    none = dict.fromkeys(
        ("edge_weight", "perceptual_weight", "structure_weight", "frequency_weight", "adversary_weight"), 0.0
    )
    return replace(demo, vae=length, **{**none, **LOSSES[name]})


def measure(name: str, settings: Comparison, people: People) -> dict[str, list[float]]:
    """Train with one of the losses and measure each person, unless the same has been done before."""
    preset = chosen_preset(name, settings.steps)
    rows = [people.training_rows, people.measured_rows]
    identity = hash_settings([FORMAT_VERSION, people.cache.hash, rows, settings.seed, stage_settings(preset, "vae")])
    path = settings.folder / f"{identity[:12]}.json"
    if path.is_file():
        return read_json(path)["values"]
    values = score(learn(name, preset, settings, people, path.with_suffix(".ckpt")), people)
    write_json(path, {"loss": name, "steps": settings.steps, "people": people.names, "values": values})
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
    device, presets = pick_device(), {name: one_step(chosen_preset(name, 1)) for name in LOSSES}
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
    values = {loss: {name: np.array(row[name]) for name in QUANTITIES} for loss, row in found.items()}
    header = ["loss", *QUANTITIES.values(), "seconds a step"]
    rows = [
        [loss, *(_cell(draws, row[name]) for name in QUANTITIES), f"{seconds[loss]:.2f}"]
        for loss, row in values.items()
    ]
    plain = values["L1"]
    paired = [
        [loss, *(_cell(draws, row[name], plain[name]) for name in QUANTITIES)]
        for loss, row in values.items()
        if loss != "L1"
    ]
    parts = [
        "# What the VAE learns from, compared",
        f"Command: `python benchmarks/vae_losses.py --steps {settings.steps}`. Machine: {settings.machine}.",
        _explained(settings.steps, scans=len(people.training_rows), people=draws.n_subjects),
        "## Values",
        _table(header, rows),
        "## Differences from L1 alone, paired by person",
        _table(header[:-1], paired),
    ]
    return "\n\n".join(parts) + "\n"


def _explained(steps: int, *, scans: int, people: int) -> str:
    weights = "; ".join(
        f"{loss}: {', '.join(f'{name} {value:g}' for name, value in chosen.items())}"
        for loss, chosen in LOSSES.items()
        if chosen
    )
    return (
        f"The `demo` VAE, {steps} steps with each loss from the same seed, on {scans} scans of a phantom at 4 mm. "
        f"Measured on one scan of each of {people} validation people, inside the brain's mask dilated by a voxel, from "
        "the posterior's mean. Sharpness is the squared differences of neighbouring voxels, added up, against the "
        "scan's own: 1 is as sharp, less is blurred, more is noise. Intervals of 95 % are over people drawn again and "
        "say nothing of another seed. Seconds a step are of trial steps on noise, apart from the training: the least "
        f"of {ROUNDS} rounds in which the losses take turns, and a tenth for what is not timed.\n\n"
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
