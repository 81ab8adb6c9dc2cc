"""How well a stage does on people it did not learn from, at fixed noise."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from neurolatent.device import autocast
from neurolatent.errors import ScanError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.noise import TIMESTEPS, add_noise, gather_signal
from neurolatent.training.batches import Scans, read_batch
from neurolatent.training.collapse import count_active
from neurolatent.training.losses import absolute_error, edge_error, noise_error
from neurolatent.training.objectives import OBJECTIVES

MOST_SCANS = 64
GROUP_SCANS = 8
"""Scans whose noise comes from one seed, and who lend each other their codes: metrics depend on it."""
NOISE_SEED = 0
Each = Callable[..., Tensor]
"""Applies a function to tensors of a group, as many scans at a time as the device is to hold."""


@torch.no_grad()
def validate(
    model: LatentDiffusionAutoencoder,
    stage: str,
    scans: Scans,
    *,
    device: torch.device,
    at_once: int | None = None,
) -> dict[str, float]:
    """Return the stage's metrics over at most 64 scans, spread over the rows given; empty where there are none.

    At most 8 scans, or as many as `at_once` says, are on the device at a time.
    """
    if not scans.rows:
        return {}
    places = spread_evenly(len(scans.rows))
    measure = {"vae": _compression, "denoiser": _pretraining, "autoencoder": _representation}[stage]
    each = partial(_in_pieces, at_once=min(at_once or GROUP_SCANS, GROUP_SCANS), device=device)
    sums: dict[str, float] = {}
    for start in range(0, len(places), GROUP_SCANS):
        chosen = places[start : start + GROUP_SCANS]
        batch = read_batch(scans, chosen, [0] * len(chosen), want_volumes=True, want_latents=False)
        generator = torch.Generator().manual_seed(NOISE_SEED + start)
        with autocast(device, enabled=model.preset.mixed_precision):
            values = measure(model, batch["volume"], generator, each)
        bad = sorted({row for value in values.values() for row in _broken(value, batch["rows"])})
        if bad:
            names = ", ".join(scans.names(bad))
            msg = f"{names}: expected finite metrics of {stage}, got NaN. Look at these scans, or train it again."
            raise ScanError(msg)
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + float(value.sum())
    means = {name: total / len(places) for name, total in sums.items()}
    return means | count_active(model, scans, places) if stage == "vae" else means


def _broken(values: Tensor, rows: Sequence[int]) -> list[int]:
    return [row for row, good in zip(rows, torch.isfinite(values).tolist(), strict=True) if not good]


def spread_evenly(count: int, *, most: int = MOST_SCANS) -> list[int]:
    """Return at most 64 places out of so many, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()


def _in_pieces(function: Callable[..., Tensor], *tensors: Tensor, at_once: int, device: torch.device) -> Tensor:
    parts = zip(*(tensor.split(at_once) for tensor in tensors), strict=True)
    return torch.cat([function(*(tensor.to(device) for tensor in part)) for part in parts])


def _compression(
    model: LatentDiffusionAutoencoder, volume: Tensor, _: torch.Generator, each: Each
) -> dict[str, Tensor]:
    def errors(volume: Tensor) -> Tensor:
        reconstruction = model.vae.decode(model.vae.encode(volume).mean)
        return torch.stack([absolute_error(volume, reconstruction), edge_error(volume, reconstruction)], dim=1)

    absolute, edge = each(errors, volume).unbind(1)
    return {"absolute_error": absolute, "edge_error": edge}


def _pretraining(
    model: LatentDiffusionAutoencoder, volume: Tensor, generator: torch.Generator, each: Each
) -> dict[str, Tensor]:
    support = model.scaling.support

    def error(clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        signal = gather_signal(timestep)
        weight = OBJECTIVES[model.preset.construction].denoiser_weight(signal)
        predicted = model.denoiser(add_noise(clean, noise, signal) * support, timestep)
        return noise_error(noise, predicted, weight=weight, support=support)

    clean = each(model.compress, volume)
    return {"velocity_error": each(error, clean, *_draw(clean, generator))}


def _representation(
    model: LatentDiffusionAutoencoder, volume: Tensor, generator: torch.Generator, each: Each
) -> dict[str, Tensor]:
    objective, support = OBJECTIVES[model.preset.construction], model.scaling.support

    def errors(clean: Tensor, noise: Tensor, timestep: Tensor, code: Tensor, other: Tensor) -> Tensor:
        signal = gather_signal(timestep)
        noisy, weight = add_noise(clean, noise, signal) * support, objective.autoencoder_weight(signal)
        predictions = (
            model.predict_noise(noisy, timestep, code),
            model.predict_noise(noisy, timestep, other),
            model.denoiser(noisy, timestep),
        )
        found = [noise_error(noise, predicted, weight=weight, support=support) for predicted in predictions]
        return torch.stack(found, dim=1)

    clean = each(model.compress, volume)
    code = each(model.semantic, volume if model.semantic.reads_scan else clean)
    own, other, none = each(errors, clean, *_draw(clean, generator), code, code.roll(1, 0)).unbind(1)
    return {"error_with_code": own, "error_with_other_code": other, "error_without_code": none}


def _draw(clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw noise and a timestep for each scan of a group, whatever pieces it is computed in."""
    noise = torch.randn(clean.shape, generator=generator)
    return noise, torch.randint(TIMESTEPS, (len(clean),), generator=generator)
