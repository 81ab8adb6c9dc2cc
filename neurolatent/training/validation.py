"""How well a stage does on people it did not learn from, at fixed noise."""

import numpy as np
import torch

from neurolatent.device import autocast
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.noise import TIMESTEPS, add_noise, gather_signal
from neurolatent.training.batches import Scans, read_batch
from neurolatent.training.losses import absolute_error, edge_error, noise_error
from neurolatent.training.objectives import OBJECTIVES

MOST_SCANS = 64
NOISE_SEED = 0


@torch.no_grad()
def validate(model: LatentDiffusionAutoencoder, stage: str, scans: Scans, *, device: torch.device) -> dict[str, float]:
    """Return the stage's metrics over at most 64 scans, spread over the rows given; empty where there are none."""
    if not scans.rows:
        return {}
    places = spread_evenly(len(scans.rows))
    measure = {"vae": _compression, "denoiser": _pretraining, "autoencoder": _representation}[stage]
    batch_size = 8
    sums: dict[str, float] = {}
    for start in range(0, len(places), batch_size):
        chosen = places[start : start + batch_size]
        batch = read_batch(scans, chosen, [0] * len(chosen), want_volumes=True, want_latents=False)
        generator = torch.Generator().manual_seed(NOISE_SEED + start)
        with autocast(device, enabled=model.preset.mixed_precision):
            values = measure(model, batch["volume"].to(device), generator)
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + float(value.sum())
    return {name: total / len(places) for name, total in sums.items()}


def spread_evenly(count: int) -> list[int]:
    """Return at most 64 places out of so many, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(MOST_SCANS, count)).round().astype(int)).tolist()


def _compression(
    model: LatentDiffusionAutoencoder, volume: torch.Tensor, _: torch.Generator
) -> dict[str, torch.Tensor]:
    reconstruction = model.vae.decode(model.vae.encode(volume).mean)
    return {
        "absolute_error": absolute_error(volume, reconstruction),
        "edge_error": edge_error(volume, reconstruction),
    }


def _pretraining(
    model: LatentDiffusionAutoencoder, volume: torch.Tensor, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    _, noise, noisy, timestep = _noisy(model, volume, generator)
    weight = OBJECTIVES[model.preset.construction].denoiser_weight(gather_signal(timestep))
    predicted = model.denoiser(noisy, timestep)
    return {"velocity_error": noise_error(noise, predicted, weight=weight, support=model.scaling.support)}


def _representation(
    model: LatentDiffusionAutoencoder, volume: torch.Tensor, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    clean, noise, noisy, timestep = _noisy(model, volume, generator)
    objective, support = OBJECTIVES[model.preset.construction], model.scaling.support
    weight = objective.autoencoder_weight(gather_signal(timestep))
    code = model.semantic(volume if model.semantic.reads_scan else clean)
    predictions = {
        "error_with_code": model.predict_noise(noisy, timestep, code),
        "error_with_other_code": model.predict_noise(noisy, timestep, code.roll(1, 0)),
        "error_without_code": model.denoiser(noisy, timestep),
    }
    return {name: noise_error(noise, value, weight=weight, support=support) for name, value in predictions.items()}


def _noisy(
    model: LatentDiffusionAutoencoder, volume: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    clean = model.compress(volume)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    timestep = torch.randint(TIMESTEPS, (len(clean),), generator=generator).to(clean.device)
    return clean, noise, add_noise(clean, noise, gather_signal(timestep)) * model.scaling.support, timestep
