"""One lightning module per stage: which networks learn, from what, and by which loss."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.nn.utils import clip_grad_norm_
from typing_extensions import override

from neurolatent.errors import ScanError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.dropout import own_dropout
from neurolatent.model.noise import PerSample, add_noise, gather_signal
from neurolatent.model.presets import StageLength
from neurolatent.model.vae import sample_posterior
from neurolatent.shapes import Volume
from neurolatent.training.adversary import build_adversary, ramp
from neurolatent.training.batches import Batch
from neurolatent.training.compression import Attempt, compression_loss
from neurolatent.training.draws import Draws
from neurolatent.training.losses import noise_error
from neurolatent.training.objectives import OBJECTIVES
from neurolatent.training.perceptual import load_perceptual

NameScans = Callable[[list[int]], list[str]]
WARM_UP_STEPS = 50
BETAS = (0.9, 0.99)
"""Adam's; 0.99 forgets gradients faster than the usual 0.999, which short trainings need."""
EPSILON = 1e-6
"""Adam's; at the usual 1e-8 it steps as far along a gradient that is nothing but rounding as along any other."""
REMEMBERED_LOSSES, EXPLODED = 100, 1000.0
"""A scan whose loss is so many times the median of so many steps has exploded; early steps differ by tens."""
VALIDATION_SEED, VALIDATION_LOSS = 0, "validation_loss"


class Shared:
    """Holds the whole model so that it is no sub-module: what is frozen is neither averaged nor kept in checkpoints."""

    def __init__(self, model: LatentDiffusionAutoencoder) -> None:
        self.model = model

    def __deepcopy__(self, memo: object) -> "Shared":
        """Stay one: the moving average copies the stage's module, not what is frozen."""
        return self


class StageModule(LightningModule):
    """What the stages share: the optimiser, its schedule, and noise drawn from seed and step."""

    want_volumes = False
    want_latents = False
    want_augmented = False

    def __init__(
        self,
        model: LatentDiffusionAutoencoder,
        *,
        length: StageLength,
        steps: int,
        seed: int,
        name_scans: NameScans,
        perceptual: Path | None = None,
    ) -> None:
        super().__init__()
        self.perceptual = perceptual
        self.length, self.steps, self.seed, self.name_scans = length, steps, seed, name_scans
        self.recent_losses: deque[float] = deque(maxlen=REMEMBERED_LOSSES)
        self.shared = Shared(model)
        self.register(model)

    def register(self, model: LatentDiffusionAutoencoder) -> None:
        """Make sub-modules of the networks that learn."""
        raise NotImplementedError

    def losses(self, batch: Batch, draws: Draws) -> PerSample:
        """Return the loss of each scan."""
        raise NotImplementedError

    def validation_losses(self, batch: Batch, draws: Draws) -> PerSample:
        """Return the loss of each scan by which a stage's checks are compared."""
        return self.losses(batch, draws)

    def training_step(self, batch: Batch) -> torch.Tensor:
        """Return the mean loss; stop where it is not a number, or has exploded."""
        if batch["step"] != self.global_step:
            msg = f"Training: expected the batch of step {self.global_step}, got that of {batch['step']}."
            raise RuntimeError(msg)
        draws = Draws(seed=self.seed, step=batch["step"], places=batch["places"])
        with own_dropout(draws.dropout_seeds, self.device):
            losses = self.losses(self.in_own_precision(batch), draws)
        self.refuse_exploded(losses, batch)
        return losses.mean()

    def validation_step(self, batch: Batch) -> None:
        """Log the mean loss of people that nothing is learnt from, with the same noise every time."""
        draws = Draws(seed=VALIDATION_SEED, step=0, places=batch["places"])
        losses = self.validation_losses(self.in_own_precision(batch), draws)
        self.refuse_if_beyond(math.inf, losses, batch, when="in a check")
        self.log(VALIDATION_LOSS, losses.mean(), on_epoch=True, batch_size=len(losses))

    def in_own_precision(self, batch: Batch) -> Batch:
        """Return a batch whose tensors are as precise as the weights."""
        dtype = next(self.parameters()).dtype
        return {name: value.to(dtype) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}

    def refuse_exploded(self, losses: PerSample, batch: Batch) -> None:
        """Name the scans whose loss is no number, or far from what losses were lately."""
        known = len(self.recent_losses) == REMEMBERED_LOSSES
        limit = EXPLODED * median(self.recent_losses) if known else math.inf
        self.refuse_if_beyond(limit, losses, batch, when=f"at step {batch['step']}")
        self.recent_losses.append(float(losses.detach().mean()))

    def refuse_if_beyond(self, limit: float, losses: PerSample, batch: Batch, *, when: str) -> None:
        """Name the scans whose loss is not below a limit."""
        values = losses.detach().tolist()
        bad = [(row, value) for row, value in zip(batch["rows"], values, strict=True) if not value < limit]
        if bad:
            expected = f"a loss below {limit:.3g}" if limit < math.inf else "a finite loss"
            worst = ", ".join(f"{value:.3g}" for _, value in bad)
            msg = (
                f"{', '.join(self.name_scans([row for row, _ in bad]))}: expected {expected} {when}, "
                f"got {worst}. Look at these scans: preprocess them again or drop them; or lower the learning rate."
            )
            raise ScanError(msg)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam with a warm-up and, unless the rate is to stay constant, a cosine decay to nothing."""
        rate = self.length.learning_rate
        optimiser = (
            torch.optim.Adam(self.learning(), lr=rate)
            if self.length.optimiser == "adam"
            else torch.optim.AdamW(self.learning(), lr=rate, betas=BETAS, eps=EPSILON, weight_decay=1e-4)
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._schedule())
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _schedule(self) -> Callable[[int], float]:
        """Return a plain function, of which a scheduler keeps nothing in a checkpoint."""
        return lambda step: self.rate_at(step)  # noqa: PLW0108  # a bound method would be kept

    def rate_at(self, step: int) -> float:
        """Return the share of the learning rate at a step."""
        warm_up = min(WARM_UP_STEPS, max(1, self.steps // 10))
        decay = 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))
        return min(1.0, (step + 1) / warm_up) * (decay if self.length.schedule == "cosine" else 1.0)

    def learning(self) -> Iterator[nn.Parameter]:
        """Give the parameters that this stage changes."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    @property
    def model(self) -> LatentDiffusionAutoencoder:
        """The whole model, of which this stage trains a part."""
        return self.shared.model


class CompressionStage(StageModule):
    """The VAE: L1 and what its preset weighs beside it; an adversary, if any, learns along with it."""

    want_volumes = True
    want_augmented = True

    def register(self, model: LatentDiffusionAutoencoder) -> None:
        """Learn these networks."""
        self.vae, preset = model.vae, model.preset
        self.loss = compression_loss(preset, load_perceptual(self.perceptual) if self.perceptual else None)
        self.adversary = build_adversary(preset, seed=self.seed) if preset.adversary_weight else None
        if self.adversary is not None:
            weight = next(self.vae.parameters())
            self.adversary.to(weight.device, weight.dtype)

    def losses(self, batch: Batch, draws: Draws) -> PerSample:
        """Add both sides of the contest to the loss; neither has a gradient in the other's weights."""
        attempt = self.attempt(batch["volume"], draws)
        losses = self.loss(attempt)
        if self.adversary is None:
            return losses
        weight = self.model.preset.adversary_weight * ramp(batch["step"], self.steps)
        persuasion = weight * self.adversary.persuade(attempt.reconstruction)
        return losses + persuasion + self.adversary.discern(attempt.volume, attempt.reconstruction)

    @override
    def validation_losses(self, batch: Batch, draws: Draws) -> PerSample:
        """Leave the adversary out: its word at one step does not compare with that at another."""
        return self.loss(self.attempt(batch["volume"], draws))

    def attempt(self, volume: Volume, draws: Draws) -> Attempt:
        """Reconstruct from a sample of the posterior."""
        posterior = self.vae.encode(volume)
        reconstruction = self.vae.decode(sample_posterior(posterior, draws.normal_like(posterior.mean)))
        return Attempt(volume, reconstruction, posterior, draws)

    @override
    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip each network's gradient by itself: a discriminator's steep one would shorten the VAE's."""
        for network in self.children():
            clip_grad_norm_(network.parameters(), math.inf if gradient_clip_val is None else gradient_clip_val)


class PretrainingStage(StageModule):
    """The denoiser: the noise in latents, at a random timestep."""

    want_latents = True

    def register(self, model: LatentDiffusionAutoencoder) -> None:
        """Learn these networks."""
        self.denoiser = model.denoiser

    def losses(self, batch: Batch, draws: Draws) -> PerSample:
        """Weigh the error of ε as that of v: a plain one leaves the noisiest steps, where sampling begins, untaught."""
        weigh = OBJECTIVES[self.model.preset.construction].denoiser_weight
        support = self.model.scaling.support
        clean = self.model.scaling(batch["latent"])
        noise, timestep = draws.normal_like(clean), draws.timesteps(clean.device)
        signal = gather_signal(timestep)
        predicted = self.denoiser(add_noise(clean, noise, signal) * support, timestep)
        return noise_error(noise, predicted, weight=weigh(signal), support=support)


class RepresentationStage(StageModule):
    """The semantic encoder and the gradient estimator, against the frozen denoiser."""

    want_latents = True

    def register(self, model: LatentDiffusionAutoencoder) -> None:
        """Learn these networks, and freeze the denoiser."""
        self.semantic, self.gradient = model.semantic, model.gradient
        self.want_volumes = self.semantic.reads_scan
        model.denoiser.requires_grad_(requires_grad=False).eval()

    def losses(self, batch: Batch, draws: Draws) -> PerSample:
        """Fill the gap that the unconditional posterior mean leaves: PDAE, equation 11."""
        model, objective = self.model, OBJECTIVES[self.model.preset.construction]
        clean = model.scaling(batch["latent"])
        noise, timestep = draws.normal_like(clean), draws.timesteps(clean.device)
        signal, support = gather_signal(timestep), model.scaling.support
        code = self.semantic(batch["volume"] if self.semantic.reads_scan else clean)
        unguided, gradient = model.predict_parts(add_noise(clean, noise, signal) * support, timestep, code)
        predicted = unguided + objective.shift(timestep) * gradient
        return noise_error(noise, predicted, weight=objective.autoencoder_weight(signal), support=support)
