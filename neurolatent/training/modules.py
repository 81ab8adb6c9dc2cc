"""One lightning module per stage: which networks learn, from what, and by which loss."""

import math
from collections.abc import Callable, Iterator

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn

from neurolatent.errors import ScanError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.noise import TIMESTEPS, PerSample, add_noise, gather_signal
from neurolatent.model.presets import StageLength
from neurolatent.model.vae import sample_posterior
from neurolatent.training.batches import Batch
from neurolatent.training.losses import absolute_error, divergence, edge_error, noise_error
from neurolatent.training.objectives import OBJECTIVES

NameScans = Callable[[list[int]], list[str]]
WARM_UP_STEPS = 50
BETAS = (0.9, 0.99)
"""Adam's; 0.99 forgets gradients faster than the usual 0.999, which short trainings need."""


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
        self, model: LatentDiffusionAutoencoder, *, length: StageLength, steps: int, seed: int, name_scans: NameScans
    ) -> None:
        super().__init__()
        self.length, self.steps, self.seed, self.name_scans = length, steps, seed, name_scans
        self.shared = Shared(model)
        self.register(model)

    def register(self, model: LatentDiffusionAutoencoder) -> None:
        """Make sub-modules of the networks that learn."""
        raise NotImplementedError

    def losses(self, batch: Batch, generator: torch.Generator) -> PerSample:
        """Return the loss of each scan."""
        raise NotImplementedError

    def training_step(self, batch: Batch) -> torch.Tensor:
        """Return the mean loss; stop where it is not a number."""
        if batch["step"] != self.global_step:
            msg = f"Training: expected the batch of step {self.global_step}, got that of {batch['step']}."
            raise RuntimeError(msg)
        losses = self.losses(batch, noise_source(self.seed, self.global_step))
        self.refuse_not_finite(losses, batch)
        return losses.mean()

    def refuse_not_finite(self, losses: PerSample, batch: Batch) -> None:
        """Name the scans whose loss is no number."""
        bad = [row for row, fine in zip(batch["rows"], torch.isfinite(losses).tolist(), strict=True) if not fine]
        if bad:
            msg = (
                f"{', '.join(self.name_scans(bad))}: expected a finite loss at step {batch['step']}, "
                f"got NaN or infinity. Look at these scans, then preprocess them again or drop them."
            )
            raise ScanError(msg)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam with a warm-up and a cosine decay to nothing."""
        optimiser = torch.optim.AdamW(self.learning(), lr=self.length.learning_rate, betas=BETAS, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self.rate_at)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def rate_at(self, step: int) -> float:
        """Return the share of the learning rate at a step."""
        warm_up = min(WARM_UP_STEPS, max(1, self.steps // 10))
        return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))

    def learning(self) -> Iterator[nn.Parameter]:
        """Give the parameters that this stage changes."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    @property
    def model(self) -> LatentDiffusionAutoencoder:
        """The whole model, of which this stage trains a part."""
        return self.shared.model


class CompressionStage(StageModule):
    """The VAE: L1, edges, and a little KL."""

    want_volumes = True
    want_augmented = True

    def register(self, model: LatentDiffusionAutoencoder) -> None:
        """Learn these networks."""
        self.vae = model.vae

    def losses(self, batch: Batch, generator: torch.Generator) -> PerSample:
        """Reconstruct from a sample of the posterior."""
        volume = batch["volume"]
        posterior = self.vae.encode(volume)
        noise = torch.randn(posterior.mean.shape, generator=generator).to(volume.device)
        reconstruction = self.vae.decode(sample_posterior(posterior, noise))
        preset = self.model.preset
        return (
            absolute_error(volume, reconstruction)
            + preset.edge_weight * edge_error(volume, reconstruction)
            + preset.kl_weight * divergence(posterior)
        )


class PretrainingStage(StageModule):
    """The denoiser: the noise in latents, at a random timestep."""

    want_latents = True

    def register(self, model: LatentDiffusionAutoencoder) -> None:
        """Learn these networks."""
        self.denoiser = model.denoiser

    def losses(self, batch: Batch, generator: torch.Generator) -> PerSample:
        """Weigh the error of ε as that of v: a plain one leaves the noisiest steps, where sampling begins, untaught."""
        weigh = OBJECTIVES[self.model.preset.construction].denoiser_weight
        support = self.model.scaling.support
        clean, noise, timestep = noisy_parts(self.model.scaling(batch["latent"]), generator)
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

    def losses(self, batch: Batch, generator: torch.Generator) -> PerSample:
        """Fill the gap that the unconditional posterior mean leaves: PDAE, equation 11."""
        model, objective = self.model, OBJECTIVES[self.model.preset.construction]
        clean, noise, timestep = noisy_parts(model.scaling(batch["latent"]), generator)
        signal, support = gather_signal(timestep), model.scaling.support
        code = self.semantic(batch["volume"] if self.semantic.reads_scan else clean)
        unguided, gradient = model.predict_parts(add_noise(clean, noise, signal) * support, timestep, code)
        predicted = unguided + objective.shift(timestep) * gradient
        return noise_error(noise, predicted, weight=objective.autoencoder_weight(signal), support=support)


def noisy_parts(clean: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return clean latents, noise and timesteps; drawn on the CPU, hence alike on any device."""
    noise = torch.randn(clean.shape, generator=generator)
    timestep = torch.randint(TIMESTEPS, (len(clean),), generator=generator)
    return clean, noise.to(clean.device), timestep.to(clean.device)


def noise_source(seed: int, step: int) -> torch.Generator:
    """Return the random numbers of one step, whatever ran before it."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
