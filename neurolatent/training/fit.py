"""Run one stage in lightning's loop, from its last checkpoint if there is one."""

from dataclasses import dataclass
from functools import partial
from multiprocessing import get_all_start_methods
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.progress import Progress
from neurolatent.training.batches import Augment, Scans, training_steps, validation_batches
from neurolatent.training.checkpoint import Checkpoints, WholeCheckpointIO, quiet_lightning, spent_before
from neurolatent.training.crew import ALONE, PATIENCE, Crew
from neurolatent.training.engine import DEFAULT_ENGINE, Engine, Portion, end_logging, make_loggers, portion
from neurolatent.training.log import LossLog, Tell
from neurolatent.training.memory import advise_on_memory
from neurolatent.training.modules import VALIDATION_LOSS
from neurolatent.training.pictures import Album, Pictures
from neurolatent.training.plan import STAGES, stage_length
from neurolatent.training.run import Fitted

GRADIENT_NORM_LIMIT = 1.0


@dataclass(frozen=True)
class FitOptions:
    """Where and how a stage runs."""

    steps: int
    seed: int
    device: torch.device
    checkpoint: Path
    log: Path
    checkpoint_seconds: float
    progress: Progress | None
    augment: Augment | None = None
    engine: Engine = DEFAULT_ENGINE
    crew: Crew = ALONE
    album: Album | None = None
    """Pictures on the way, if any."""
    perceptual: Path | None = None
    """ImageNet weights for the VAE's perceptual loss."""

    @property
    def best(self) -> Path:
        """The checkpoint of the lowest validation loss, where a stage may stop early."""
        return self.checkpoint.with_name(f"{self.checkpoint.stem}-best.ckpt")


def fit_stage(
    model: LatentDiffusionAutoencoder, stage: str, scans: Scans, options: FitOptions, validation: Scans | None = None
) -> Fitted:
    """Train the stage's networks in place, which end as their moving average, the best one where it stops early."""
    length, device = stage_length(model.preset, stage), options.device
    model.to(device, torch.float64 if options.engine.precision == "fp64" else torch.float32)
    module = STAGES[stage](
        model.train(),
        length=length,
        steps=options.steps,
        seed=options.seed,
        name_scans=scans.names,
        perceptual=options.perceptual,
    )
    spent = spent_before(options.checkpoint)
    share = portion(length.batch, rank=options.crew.rank, size=options.crew.size, at_once=options.engine.scans_at_once)
    checkpoints = Checkpoints(
        options.checkpoint,
        spent=spent,
        every_seconds=options.checkpoint_seconds,
        pieces=share.pieces,
        check_every=length.check_every if length.patience and validation else None,
        crew=options.crew,
    )
    if not spent.steps:
        options.crew.first_does(lambda: options.best.unlink(missing_ok=True))  # of another course
    wanted = {"want_volumes": module.want_volumes, "want_latents": module.want_latents}
    batches = training_steps(
        scans,
        first=spent.steps,
        batch=length.batch,
        seed=options.seed,
        augment=options.augment if module.want_augmented else None,
        portion=share,
        **wanted,
    )
    checks: Any = validation_batches(validation, share.at_once, **wanted) if length.patience and validation else []
    steps = spent.steps
    if spent.steps < options.steps:
        readers = options.engine.readers(device)
        loader = DataLoader(batches, batch_size=None, **_reading(readers))
        resume = options.checkpoint if spent.steps else None
        with quiet_lightning(), torch.random.fork_rng(devices=[]):
            trainer = _trainer(model, stage, checkpoints, share, options, checked=bool(checks))
            fit = partial(trainer.fit, train_dataloaders=loader, ckpt_path=resume, weights_only=True)
            mixed = model.preset.mixed_precision
            try:
                with advise_on_memory(f"Training {stage}", options.engine, device, at_once=share.at_once, mixed=mixed):
                    fit(module, val_dataloaders=DataLoader(checks, batch_size=None) if checks else None)
            finally:
                end_logging(options.engine)
        steps = trainer.global_step
    else:
        module.load_state_dict(_averaged(options.checkpoint)["state_dict"])
    if options.best.is_file():
        best = _averaged(options.best)
        module.load_state_dict(best["state_dict"])
        steps = int(best["global_step"])
    model.to(device).eval()
    return Fitted(checkpoints.seconds, steps, checkpoints.waiting_share)


def _averaged(path: Path) -> Any:
    """Read a checkpoint, whose `state_dict` is the moving average."""
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _reading(readers: int) -> dict[str, Any]:
    """Return how a loader reads ahead: forked readers share the mapped volumes, others would be sent a copy each."""
    if not readers:
        return {}
    way = "fork" if "fork" in get_all_start_methods() else None
    return {"num_workers": readers, "persistent_workers": True, "multiprocessing_context": way}


def _clusters() -> list[SLURMEnvironment]:
    """Keep lightning from requeueing a SLURM job by checkpoints of its own, which the next stage would take for its."""
    by_slurm = SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    return [SLURMEnvironment(auto_requeue=False)] if by_slurm else []


def _trainer(
    model: LatentDiffusionAutoencoder,
    stage: str,
    checkpoints: Checkpoints,
    share: Portion,
    options: FitOptions,
    *,
    checked: bool,
) -> Trainer:
    length, engine, crew = stage_length(model.preset, stage), options.engine, options.crew
    average = EMAWeightAveraging(decay=length.ema_decay)
    callbacks: list[Callback] = [average]
    if checked:
        callbacks += _stop_early(length.patience, options.best)
    course = {"first_step": checkpoints.spent.steps, "pieces": share.pieces}
    callbacks.append(LossLog(options.log, **course, crew=crew, tell=_teller(options, stage)))
    if options.album and crew.first:
        callbacks.append(Pictures(options.album, model, stage, average=average, **course))
    return Trainer(
        accelerator="gpu" if options.device.type == "cuda" else "cpu",
        devices=crew.a_node if crew.size > 1 else [options.device.index or 0] if options.device.type == "cuda" else 1,
        num_nodes=crew.nodes,
        strategy=DDPStrategy(timeout=PATIENCE) if crew.size > 1 else "auto",
        precision=engine.lightning_precision(options.device, mixed=model.preset.mixed_precision),
        max_steps=options.steps,
        max_epochs=-1,
        accumulate_grad_batches=share.pieces,
        val_check_interval=length.check_every * share.pieces if checked else None,
        check_val_every_n_epoch=None if checked else 1,
        gradient_clip_val=GRADIENT_NORM_LIMIT,
        plugins=[WholeCheckpointIO(), *_clusters()],
        default_root_dir=options.log.parent,
        callbacks=[*callbacks, checkpoints],
        logger=make_loggers(engine, options.log.parent, stage) or False,
        log_every_n_steps=10,
        enable_checkpointing=checked,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


def _teller(options: FitOptions, stage: str) -> Tell | None:
    """Return what tells the step and its loss to who watches."""
    progress = options.progress
    if progress is None:
        return None
    return lambda step, loss: progress(stage, step, options.steps, note=f"loss {loss:.4g}")


def _stop_early(patience: int, best: Path) -> list[Callback]:
    """Stop when the loss of people that nothing is learnt from has not fallen for so many checks; keep the lowest."""
    return [
        EarlyStopping(VALIDATION_LOSS, patience=patience, check_finite=True),
        ModelCheckpoint(
            best.parent,
            best.stem,
            monitor=VALIDATION_LOSS,
            save_top_k=1,
            enable_version_counter=False,
        ),
    ]
