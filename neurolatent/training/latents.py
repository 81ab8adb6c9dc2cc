"""Posterior means of every training scan and its variants, computed once; the later stages read nothing else."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from neurolatent.device import autocast
from neurolatent.errors import ScanError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.progress import Progress
from neurolatent.provenance import read_json, write_json
from neurolatent.shapes import Latent
from neurolatent.training.batches import Scans, read_batch

LEAST_SHARE_OF_SD = 0.1
"""A latent voxel belongs to the support where people differ by at least this share of what they differ by at most."""

SMALLEST_SPREAD = 1e-6
"""So that a single scan, from which nothing differs, does not divide by nought."""
SECONDS_BETWEEN_NOTES = 30.0
"""What a killed process may lose."""
CHUNK_SCANS = 64


def cache_latents(
    model: LatentDiffusionAutoencoder,
    scans: Scans,
    path: Path,
    *,
    inputs: str,
    device: torch.device,
    progress: Progress | None,
) -> np.ndarray:
    """Write the latents of all scans and variants as one float16 array; map it for reading.

    One scan at a time: it needs least memory, and what else lies in a batch changes the last bits of a latent, so that
    a run that was cut off goes on where it was. A note beside the array says from which inputs it is, and how far.
    """
    preset, note = model.preset, path.with_suffix(".json")
    shape = (len(scans.rows), scans.variants, preset.latent_channels, *preset.latent_shape)
    total, done = shape[0] * shape[1], _done_before(path, note, inputs)
    if done < total:
        path.parent.mkdir(parents=True, exist_ok=True)
        array = open_memmap(path, mode="r+" if done else "w+", dtype=np.float16, shape=None if done else shape)
        noted = time.monotonic()
        for number in range(done, total):
            variant, place = divmod(number, len(scans.rows))
            array[place, variant] = _compress(model, scans, place, variant, device=device)
            if time.monotonic() - noted > SECONDS_BETWEEN_NOTES or number + 1 == total:
                array.flush()
                write_json(note, {"inputs": inputs, "done": number + 1})
                noted = time.monotonic()
            if progress:
                progress("latents", number + 1, total)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _done_before(path: Path, note: Path, inputs: str) -> int:
    """Return how many latents are there; of other inputs none, and their note goes."""
    if path.is_file() and note.is_file():
        known = read_json(note)
        if known["inputs"] == inputs:
            return int(known.get("done", 0))
    note.unlink(missing_ok=True)
    return 0


def fit_scaling(model: LatentDiffusionAutoencoder, latents: np.ndarray) -> None:
    """Set centre, support and scale: inside the support the scaled training latents have a standard deviation of 1.

    The scans as they are decide it (variant 0): what they are moved by must not hide how people differ. The published
    construction knows neither centre nor support, and one standard deviation of all values.
    """
    count, scaling = len(latents), model.scaling
    mean = torch.stack([chunk.sum(0) for chunk in _chunks(latents)]).sum(0) / count
    published = model.preset.construction == "published"
    centre = mean.mean() if published else mean
    squares = torch.stack([(chunk - centre).square().sum(0) for chunk in _chunks(latents)]).sum(0)
    if published:
        variance = squares.sum() / max(1, count * squares.numel() - 1)
        scaling.scale.copy_(1 / variance.sqrt().clamp_min(SMALLEST_SPREAD))
        return
    variance = squares / count
    highest = variance.amax(0, keepdim=True)
    support = (highest.sqrt() >= LEAST_SHARE_OF_SD * highest.max().sqrt()).double()
    spread = ((variance * support).sum() / (support.sum() * len(mean))).sqrt()
    scaling.mean.copy_(mean)
    scaling.support.copy_(support)
    scaling.scale.copy_(1 / spread.clamp_min(SMALLEST_SPREAD))


def _chunks(latents: np.ndarray) -> Iterator[Latent]:
    """Give the scans as they are, few at a time, in double precision."""
    for start in range(0, len(latents), CHUNK_SCANS):
        yield torch.from_numpy(np.asarray(latents[start : start + CHUNK_SCANS, 0], dtype=np.float64))


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
