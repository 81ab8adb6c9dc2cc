"""Run one stage in lightning's loop, from its last checkpoint if there is one."""

from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch.utils.data import DataLoader

from neurolatent.device import has_fast_bfloat16
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.training.batches import Augment, Scans, training_steps
from neurolatent.training.checkpoint import Checkpoints, Progress, WholeCheckpointIO, quiet_lightning, spent_before
from neurolatent.training.log import LossLog
from neurolatent.training.plan import STAGES, stage_length

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


def fit_stage(model: LatentDiffusionAutoencoder, stage: str, scans: Scans, options: FitOptions) -> float:
    """Train the stage's networks in place, which end as their moving average; return the seconds it took in all."""
    length = stage_length(model.preset, stage)
    keys = scans.cache.keys
    module = STAGES[stage](
        model.to(options.device).train(),
        length=length,
        steps=options.steps,
        seed=options.seed,
        name_scans=lambda rows: ["/".join(keys[row]) for row in rows],
    )
    spent = spent_before(options.checkpoint)
    checkpoints = Checkpoints(
        options.checkpoint,
        spent=spent,
        every_seconds=options.checkpoint_seconds,
        what=stage,
        steps=options.steps,
        progress=options.progress,
    )
    batches = training_steps(
        scans,
        first=spent.steps,
        batch=length.batch,
        seed=options.seed,
        want_volumes=module.want_volumes,
        want_latents=module.want_latents,
        augment=options.augment if module.want_augmented else None,
    )
    if spent.steps < options.steps:
        with quiet_lightning():
            trainer = _trainer(model, stage, checkpoints, options)
            resume = options.checkpoint if spent.steps else None
            trainer.fit(module, DataLoader(batches, batch_size=None), ckpt_path=resume, weights_only=True)
    model.to(options.device).eval()
    return checkpoints.seconds


def _trainer(model: LatentDiffusionAutoencoder, stage: str, checkpoints: Checkpoints, options: FitOptions) -> Trainer:
    mixed = model.preset.mixed_precision and has_fast_bfloat16(options.device)
    return Trainer(
        accelerator="gpu" if options.device.type == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if mixed else "32-true",
        max_steps=options.steps,
        max_epochs=-1,
        gradient_clip_val=GRADIENT_NORM_LIMIT,
        plugins=[WholeCheckpointIO()],
        callbacks=[
            EMAWeightAveraging(decay=stage_length(model.preset, stage).ema_decay),
            LossLog(options.log, first_step=checkpoints.spent.steps),
            checkpoints,
        ],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )
