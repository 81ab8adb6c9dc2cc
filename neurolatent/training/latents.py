"""Posterior means of every training scan and its variants, computed once; the later stages read nothing else."""

from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from neurolatent.device import autocast
from neurolatent.errors import ScanError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.progress import Progress
from neurolatent.provenance import whole_file
from neurolatent.training.batches import Scans, read_batch

LEAST_SHARE_OF_SD = 0.1
"""A latent voxel belongs to the support where people differ by at least this share of what they differ by at most."""

SMALLEST_SPREAD = 1e-6
"""So that a single scan, from which nothing differs, does not divide by nought."""


def cache_latents(
    model: LatentDiffusionAutoencoder, scans: Scans, path: Path, *, device: torch.device, progress: Progress | None
) -> np.ndarray:
    """Write the latents of all scans and variants as one float16 array, whole or not at all; map it for reading.

    One scan at a time: it needs least memory, and what else lies in a batch changes the last bits of a latent.
    """
    preset, count = model.preset, len(scans.rows)
    shape = (count, scans.variants, preset.latent_channels, *preset.latent_shape)
    with whole_file(path) as temporary:
        array = open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
        for variant in range(scans.variants):
            for place in range(count):
                array[place, variant] = _compress(model, scans, place, variant, device=device)
                if progress:
                    progress("latents", variant * count + place + 1, scans.variants * count)
        array.flush()
    return np.load(path, mmap_mode="r", allow_pickle=False)


def fit_scaling(model: LatentDiffusionAutoencoder, latents: np.ndarray) -> None:
    """Set centre, support and scale: inside the support the scaled training latents have a standard deviation of 1.

    The scans as they are decide it (variant 0): what they are moved by must not hide how people differ. The published
    construction knows neither centre nor support, and one standard deviation of all values.
    """
    values = torch.from_numpy(np.asarray(latents[:, 0], dtype=np.float32))
    if model.preset.construction == "published":
        model.scaling.scale.copy_(1 / values.std().clamp_min(SMALLEST_SPREAD))
        return
    mean = values.mean(0)
    variance = (values - mean).square().mean(0)
    highest = variance.amax(0, keepdim=True)
    support = (highest.sqrt() >= LEAST_SHARE_OF_SD * highest.max().sqrt()).float()
    spread = ((variance * support).sum() / (support.sum() * len(mean))).sqrt()
    scaling = model.scaling
    scaling.mean.copy_(mean)
    scaling.support.copy_(support)
    scaling.scale.copy_(1 / spread.clamp_min(SMALLEST_SPREAD))


@torch.no_grad()
def _compress(
    model: LatentDiffusionAutoencoder, scans: Scans, place: int, variant: int, *, device: torch.device
) -> np.ndarray:
    batch = read_batch(scans, [place], [variant], want_volumes=True, want_latents=False)
    with autocast(device, enabled=model.preset.mixed_precision):
        mean = model.vae.encode(batch["volume"].to(device)).mean[0]
    if not torch.isfinite(mean).all():
        name = scans.names(batch["rows"])[0]
        msg = f"{name}: expected a finite latent, got NaN. Look at this scan, preprocess it again or leave it out."
        raise ScanError(msg)
    return mean.cpu().numpy().astype(np.float16)
