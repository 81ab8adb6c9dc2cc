"""Train VAE, denoiser and autoencoder one after the other; what is finished is skipped, what was cut off goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from neurolatent.errors import SettingsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import Preset
from neurolatent.model.published.imagenet import hash_imagenet, load_imagenet
from neurolatent.model.published.semantic import SemanticEncoder
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
from neurolatent.training.batches import Augment, Scans, refuse_broken
from neurolatent.training.crew import join_crew, own_device
from neurolatent.training.engine import DEFAULT_ENGINE, Engine
from neurolatent.training.fit import FitOptions, fit_stage
from neurolatent.training.latents import cache_latents, fit_scaling
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
    imagenet: Path | None = None,
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
        imagenet: The same, from which the published semantic encoder starts.
        persons: Participant → whom the card is to name, where cohorts were pooled and their people renamed.

    Several processes, started by torchrun or SLURM, train one model: each calls this, and the first of them writes.
    """
    engine.check(device)
    run = Run(
        cache=cache,
        folder=folder,
        preset=preset,
        training_rows=tuple(training_rows),
        validation_rows=tuple(validation_rows),
        cohort=cohort,
        seed=seed,
        device=own_device(device),
        max_minutes=max_minutes,
        initial=initial,
        progress=progress,
        checkpoint_seconds=checkpoint_seconds,
        augment=augment,
        engine=engine,
        crew=join_crew(device),
        draw=draw,
        perceptual=perceptual,
        imagenet=imagenet,
        persons=persons or {},
    )
    return _train(run)


def _train(run: Run) -> Card:
    """Go from stage to stage; what each depends on is hashed with what all before it made."""
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
        inputs = hash_settings([inputs, stage, steps[stage], stage_settings(run.preset, stage)])
        records[stage] = _stage(run, model, stage, inputs=inputs, steps=steps[stage], latents=latents)
        files[f"{stage}.safetensors"] = hash_file(run.folder / f"{stage}.safetensors")
        inputs = hash_settings([inputs, files])
    card = _describe(run, model, records, files)
    run.crew.first_does(lambda: write_card(run.folder, card))
    return read_card(run.folder)


def _describe(
    run: Run, model: LatentDiffusionAutoencoder, records: Mapping[str, StageRecord], files: Mapping[str, str]
) -> Card:
    first = read_card(run.initial) if run.initial else None
    elsewhere = first if first and first.imported else None
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
        licence=elsewhere.licence if elsewhere else LICENCE,
        seed=run.seed,
        augmentation=run.augment.describe() if run.augment else None,
        perceptual=hash_imagenet(run.perceptual) if run.perceptual else None,
        imagenet=hash_imagenet(run.imagenet) if run.imagenet else None,
        imported=elsewhere.imported if elsewhere else None,
        registration=elsewhere.registration if elsewhere else None,
    )


def _trial(run: Run) -> dict[str, float]:
    return trial_seconds(
        run.preset,
        len(run.training_rows),
        run.device,
        augment=run.augment,
        engine=run.engine,
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
    if run.imagenet and (run.preset.construction != "published" or run.initial):
        expected = "expected a preset of the published construction and no --initial"
        got = f"preset {run.preset.name!r}" + (f" and --initial {run.initial}" if run.initial else "")
        msg = f"--imagenet {run.imagenet}: {expected}, got {got}. Use paper, or leave it out."
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
    scans, path = Scans(run.cache, run.training_rows, run.preset.latent_variants), run.work / "latents.npy"
    run.crew.first_does(
        lambda: cache_latents(model, scans, path, inputs=inputs, device=run.device, progress=run.progress)
    )
    latents = np.load(path, mmap_mode="r", allow_pickle=False)
    fit_scaling(model, latents)
    return latents


def _watched(run: Run, model: LatentDiffusionAutoencoder, stage: str, inputs: str) -> Scans | None:
    """Return the validation people's scans, by whose loss a stage stops, with their latents where these are learnt."""
    if not stage_length(run.preset, stage).patience or not run.validation_rows:
        return None
    rows = [run.validation_rows[place] for place in spread_evenly(len(run.validation_rows))]
    scans, path = Scans(run.cache, rows, 1), run.work / f"{stage}-validation-latents.npy"
    if stage == "vae":
        return scans
    run.crew.first_does(lambda: cache_latents(model, scans, path, inputs=inputs, device=run.device, progress=None))
    return replace(scans, latents=np.load(path, mmap_mode="r", allow_pickle=False))


def _planned_steps(run: Run) -> dict[str, int]:
    """Return the steps of each stage; once decided they stay, or a resumed run would aim elsewhere."""
    settings = [stage_settings(run.preset, stage) for stage in STAGES]
    path, inputs = run.work / "plan.json", hash_settings([run.fingerprint(), run.max_minutes, settings])

    def plan() -> None:
        if path.is_file() and read_json(path)["inputs"] == inputs:
            return
        if run.validation_rows:
            refuse_broken(Scans(run.cache, run.validation_rows, 1), spread_evenly(len(run.validation_rows)))
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
    if run.imagenet and isinstance(model.semantic, SemanticEncoder):
        load_imagenet(model.semantic.backbone.backbone, run.imagenet)
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
    fitted = fit_stage(model, stage, scans, options, _watched(run, model, stage, inputs))
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
    for leftover in [*run.work.glob(f"{stage}-*.ckpt"), *run.work.glob(f"{stage}-validation-latents.*")]:
        leftover.unlink()
