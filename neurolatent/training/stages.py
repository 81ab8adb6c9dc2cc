"""Train VAE, denoiser and autoencoder one after the other; what is finished is skipped, what was cut off goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from neurolatent.errors import SettingsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import Preset
from neurolatent.model.weights import (
    CARD_NAME,
    Card,
    Person,
    StageRecord,
    fingerprint,
    hash_weights,
    load_autoencoder,
    load_part,
    read_card,
    read_record,
    save_part,
    write_card,
)
from neurolatent.progress import Progress
from neurolatent.provenance import hash_file, hash_settings, read_json, versions, write_json
from neurolatent.training.batches import Augment, Scans
from neurolatent.training.crew import join_crew, own_device
from neurolatent.training.engine import DEFAULT_ENGINE, Engine
from neurolatent.training.fit import FitOptions, fit_stage
from neurolatent.training.latents import cache_latents, fit_scaling
from neurolatent.training.perceptual import hash_perceptual
from neurolatent.training.pictures import Album, Draw
from neurolatent.training.plan import (
    STAGES,
    Estimate,
    estimate,
    plan_steps,
    stage_length,
    stage_settings,
    trial_seconds,
)
from neurolatent.training.run import Fitted, Run, finished_record, record_stage
from neurolatent.training.validation import spread_evenly, validate
from neurolatent.volume.cache import VolumeCache

__all__ = ["Estimate", "estimate", "train"]

CHECKPOINT_SECONDS = 60.0
LICENCE = "CC-BY-4.0 where every scan was simulated; otherwise as the cohorts' terms say"


def train(  # noqa: PLR0913 - one call states the whole training
    cache: VolumeCache,
    folder: Path,
    *,
    preset: Preset,
    training_rows: Sequence[int],
    validation_rows: Sequence[int],
    cohort: str,
    seed: int,
    device: torch.device,
    max_minutes: float | None = None,
    initial: Path | None = None,
    progress: Progress | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    augment: Augment | None = None,
    engine: Engine = DEFAULT_ENGINE,
    draw: Draw | None = None,
    perceptual: Path | None = None,
    persons: Mapping[str, Person] | None = None,
) -> Card:
    """Train every stage on the training rows; return the card that is written beside the weights.

    Args:
        cache: Volumes on the preset's grid.
        folder: Where weights and card go; a training that was cut off there goes on.
        preset: Sizes and lengths.
        training_rows: Rows of the cache to learn from.
        validation_rows: Rows whose metrics the card tells; where a stage has patience, they decide when it stops.
        cohort: Name of the cohort, which with participant_id names a person.
        seed: Of initial weights, order of scans, and noise.
        device: Where to compute.
        max_minutes: Shorten every stage alike so that all together take about this long here.
        initial: Folder of weights to start from; the card takes over whom they have seen.
        progress: Called as (stage, done, total, note=the smoothed loss).
        checkpoint_seconds: Time between checkpoints: what a killed process may lose.
        augment: Changes the volumes that the VAE learns from; latents and validation read the scans as they are.
        engine: Arithmetic, memory, readers and logs.
        draw: Draws how each stage does on the way, passed in so that no library comes with it.
        perceptual: ImageNet weights of ConvNeXt-Small in torchvision's layout, for the VAE's perceptual loss.
        persons: Participant → whom the card is to name, where cohorts were pooled and their people renamed.

    Several processes, started by torchrun or SLURM, train one model: each calls this, and the first of them writes.
    """
    engine.check(device)
    options = (max_minutes, initial, progress, checkpoint_seconds, augment, engine, join_crew(device), draw, perceptual)
    rows = (tuple(training_rows), tuple(validation_rows))
    run = Run(cache, folder, preset, *rows, cohort, seed, own_device(device), *options, persons or {})
    _refuse_unfit(run)
    run.crew.first_does(lambda: _sweep(run))
    steps = _planned_steps(run)
    model = _initial_model(run)
    records: dict[str, StageRecord] = {}
    files: dict[str, str] = {}
    inputs, latents = run.fingerprint(), None
    for stage in STAGES:
        if stage == "denoiser":
            latents = _latents(run, model, inputs)
        inputs = hash_settings([inputs, stage, steps[stage], stage_settings(preset, stage)])
        records[stage] = _stage(run, model, stage, inputs=inputs, steps=steps[stage], latents=latents)
        files[f"{stage}.safetensors"] = hash_file(folder / f"{stage}.safetensors")
        inputs = hash_settings([inputs, files])
    card = _describe(run, model, records, files)
    run.crew.first_does(lambda: write_card(folder, card))
    return read_card(folder)


def _describe(
    run: Run, model: LatentDiffusionAutoencoder, records: Mapping[str, StageRecord], files: Mapping[str, str]
) -> Card:
    return Card(
        preset=run.preset.name,
        settings=run.preset.describe(),
        architecture=fingerprint(run.preset),
        preprocessing=run.cache.preprocessing,
        latent_scale=float(model.scaling.scale),
        stages=records,
        files=files,
        weights_hash=hash_weights(files),
        versions=versions(),
        licence=LICENCE,
        seed=run.seed,
        augmentation=run.augment.describe() if run.augment else None,
        perceptual=hash_perceptual(run.perceptual) if run.perceptual else None,
    )


def _trial(run: Run) -> dict[str, float]:
    return trial_seconds(
        run.preset,
        len(run.training_rows),
        run.device,
        augment=run.augment,
        at_once=run.engine.scans_at_once,
        processes=run.crew.size,
        perceptual=run.perceptual,
    )


def _sweep(run: Run) -> None:
    for leftover in [*run.folder.glob(".partial-*"), *run.work.rglob(".partial-*")]:
        leftover.unlink()  # of a process that was killed while it wrote


def _refuse_unfit(run: Run) -> None:
    if run.perceptual and not run.preset.perceptual_weight:
        expected = "expected a preset that gives the perceptual loss a weight"
        msg = f"--perceptual {run.perceptual}: {expected}, got {run.preset.name!r}. Use base or paper."
        raise SettingsError(msg)
    shape = run.cache.grid.shape
    if shape != run.preset.grid_shape:
        expected = f"expected volumes of {run.preset.grid_shape} at {run.preset.spacing_mm:g} mm"
        msg = f"Preset {run.preset.name!r}: {expected}, got {shape}. Run `neurolatent preprocess` for this preset."
        raise SettingsError(msg)
    if not run.training_rows:
        msg = "Training: expected at least one scan to learn from, got none. Check split.json and the volume cache."
        raise SettingsError(msg)


def _latents(run: Run, model: LatentDiffusionAutoencoder, inputs: str) -> np.ndarray:
    """Cache the latents, unless these are there, and take the scaling from them."""
    path, done = run.work / "latents.npy", run.work / "latents.json"

    def write() -> None:
        if path.is_file() and done.is_file() and read_json(done)["inputs"] == inputs:
            return
        done.unlink(missing_ok=True)
        scans = Scans(run.cache, run.training_rows, run.preset.latent_variants)
        cache_latents(model, scans, path, device=run.device, progress=run.progress)
        write_json(done, {"inputs": inputs})

    run.crew.first_does(write)
    latents = np.load(path, mmap_mode="r", allow_pickle=False)
    fit_scaling(model, latents)
    return latents


def _watched(run: Run, model: LatentDiffusionAutoencoder, stage: str) -> Scans | None:
    """Return the validation people's scans, by whose loss a stage stops, with their latents where these are learnt."""
    if not stage_length(run.preset, stage).patience or not run.validation_rows:
        return None
    rows = [run.validation_rows[place] for place in spread_evenly(len(run.validation_rows))]
    scans, path = Scans(run.cache, rows, 1), run.work / f"{stage}-validation-latents.npy"
    if stage == "vae":
        return scans
    run.crew.first_does(lambda: cache_latents(model, scans, path, device=run.device, progress=None))
    return replace(scans, latents=np.load(path, mmap_mode="r", allow_pickle=False))


def _planned_steps(run: Run) -> dict[str, int]:
    """Return the steps of each stage; once decided they stay, or a resumed run would aim elsewhere."""
    settings = [stage_settings(run.preset, stage) for stage in STAGES]
    path, inputs = run.work / "plan.json", hash_settings([run.fingerprint(), run.max_minutes, settings])

    def plan() -> None:
        if path.is_file() and read_json(path)["inputs"] == inputs:
            return
        (run.folder / CARD_NAME).unlink(missing_ok=True)  # what follows replaces the weights that it describes
        steps = plan_steps(run.preset, max_minutes=run.max_minutes, trial=lambda: _trial(run))
        write_json(path, {"inputs": inputs, "steps": steps})

    run.crew.first_does(plan)
    return read_json(path)["steps"]


def _initial_model(run: Run) -> LatentDiffusionAutoencoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        model = LatentDiffusionAutoencoder(run.preset)
    if run.initial:
        other, card = load_autoencoder(run.initial, device=torch.device("cpu"))
        if card.preset != run.preset.name:
            msg = f"{run.initial}: expected weights of preset {run.preset.name!r}, got {card.preset!r}. Choose others."
            raise SettingsError(msg)
        model.load_state_dict(other.state_dict())
    return model.to(run.device)


def _stage(
    run: Run,
    model: LatentDiffusionAutoencoder,
    stage: str,
    *,
    inputs: str,
    steps: int,
    latents: np.ndarray | None,
) -> StageRecord:
    """Train one stage, or load it where the same has been trained before."""
    done = run.work / f"{stage}.json"
    finished = finished_record(run, stage, inputs)
    if finished:
        load_part(run.folder, model, stage)
        if run.progress and run.crew.first:
            run.progress(f"{stage} (finished before)", steps, steps)
        return finished
    checkpoint = run.work / f"{stage}-{inputs[:12]}.ckpt"
    scans = Scans(run.cache, run.training_rows, run.preset.latent_variants, latents)
    options = FitOptions(
        steps=steps,
        seed=run.seed * len(STAGES) + list(STAGES).index(stage),
        device=run.device,
        checkpoint=checkpoint,
        log=run.work / f"{stage}.csv",
        checkpoint_seconds=run.checkpoint_seconds,
        progress=run.progress,
        augment=run.augment,
        engine=run.engine,
        crew=run.crew,
        album=_album(run),
        perceptual=run.perceptual,
    )
    fitted = fit_stage(model, stage, scans, options, _watched(run, model, stage))
    model.float()
    run.crew.wait()  # until all have read what the first will clear away
    run.crew.first_does(lambda: _finish(run, model, stage, fitted, inputs=inputs))
    load_part(run.folder, model, stage)
    return read_record(read_json(done)["record"])


def _album(run: Run) -> Album | None:
    """Say whom the pictures show: people whom nothing is learnt from, if there are any."""
    if run.draw is None or not run.engine.picture_seconds:
        return None
    rows, whose = (run.validation_rows, "validation") if run.validation_rows else (run.training_rows, "training")
    scans, folder = Scans(run.cache, rows, 1), run.work / "pictures"
    return Album(run.draw, scans, f"{whose} scan", folder, run.engine.picture_seconds)


def _finish(run: Run, model: LatentDiffusionAutoencoder, stage: str, fitted: Fitted, *, inputs: str) -> None:
    """Measure a trained stage and write it; what it needed on the way goes."""
    scans = Scans(run.cache, run.validation_rows, 1)
    metrics = validate(model, stage, scans, device=run.device, at_once=run.engine.scans_at_once)
    record = record_stage(run, stage, fitted, metrics=metrics)
    saved = save_part(run.folder, model, stage)
    write_json(run.work / f"{stage}.json", {"inputs": inputs, "file": saved, "record": asdict(record)})
    for leftover in [*run.work.glob(f"{stage}-*.ckpt"), *run.work.glob(f"{stage}-validation-latents.npy")]:
        leftover.unlink()
