"""Run the model over many scans in batches, the same way for every analysis."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from neurolatent.errors import SettingsError
from neurolatent.model.autoencoder import NoiseStatistics
from neurolatent.shapes import Code, FeatureArray, Latent, Volume, VolumeArray

BATCH_SCANS = 8

LatentArray = Float[ndarray, "scan channel a b c"]
Progress = Callable[[str, int, int], None]
"""Called as (what, done, total) while scans go through the model."""


@runtime_checkable
class Autoencoder(Protocol):
    """What analyses ask of a model."""

    slabs: int | None
    """In how many pieces the VAE works through a scan; None: in one."""

    def compress(self, volume: Volume) -> Latent:
        """Scan to scaled latent."""
        ...

    def decompress(self, latent: Latent) -> Volume:
        """Scaled latent to scan in [0, 1]."""
        ...

    def encode_semantic(self, volume: Volume) -> Code:
        """Scan to y."""
        ...

    def encode_stochastic(self, latent: Latent, code: Code, *, steps: int) -> Latent:
        """Latent to z_T, given y."""
        ...

    def decode(self, code: Code | None, stochastic: Latent, *, steps: int) -> Latent:
        """Codes y and z_T to latent; without y by the denoiser alone."""
        ...

    def draw_noise(self, count: int, *, seed: int) -> Latent:
        """Draw z_T at random."""
        ...

    def noise_statistics(self, stochastic: Latent) -> NoiseStatistics:
        """How close inferred z_T is to white noise."""
        ...


@dataclass(frozen=True)
class Generator:
    """A model with a number of DDIM steps; arrays in, arrays out."""

    model: Autoencoder
    device: torch.device
    steps: int
    progress: Progress | None = None
    batch_scans: int | None = None
    """Scans at once; where not given one for a VAE that works in slabs, eight for others."""

    @property
    def scans_at_once(self) -> int:
        """How many scans go through the model together."""
        return self.batch_scans or (BATCH_SCANS if self.model.slabs is None else 1)

    def semantic(self, volumes: VolumeArray, *, what: str = "Semantic codes") -> FeatureArray:
        """Encode scans to y."""
        return self._in_batches(what, self._encode_semantic, volumes)

    def compress(self, volumes: VolumeArray, *, what: str = "Latents") -> LatentArray:
        """Encode scans to scaled latents."""
        return self._in_batches(what, self._compress, volumes)

    def reconstruct(self, volumes: VolumeArray, *, what: str = "VAE") -> VolumeArray:
        """Pass scans through the VAE alone: what decoding can reach at best."""
        return self._in_batches(what, self._reconstruct, volumes)

    def decompress(self, latents: LatentArray, *, what: str = "VAE") -> VolumeArray:
        """Decode scaled latents to scans."""
        return self._in_batches(what, self._decompress, latents)

    def infer_noise(self, volumes: VolumeArray, codes: FeatureArray, *, what: str = "Stochastic codes") -> LatentArray:
        """Run DDIM forwards in time from scans to z_T."""
        return self._in_batches(what, self._infer_noise, volumes, codes)

    def generate(self, codes: FeatureArray, noise: LatentArray, *, what: str) -> VolumeArray:
        """Run DDIM backwards in time from y and z_T to scans."""
        return self._in_batches(what, self._generate, codes, noise)

    def sample(self, noise: LatentArray, *, what: str = "Samples") -> VolumeArray:
        """Run DDIM backwards in time from z_T alone: brains of nobody."""
        return self._in_batches(what, self._sample, noise)

    def draw_noise(self, count: int, *, seed: int) -> LatentArray:
        """Draw z_T, one seed for all, so that two decodings can share it."""
        return self.model.draw_noise(count, seed=seed).float().cpu().numpy()

    def _compress(self, volumes: Tensor) -> Tensor:
        return self.model.compress(volumes[:, None])

    def _decompress(self, latents: Tensor) -> Tensor:
        return self.model.decompress(latents)[:, 0]

    def _reconstruct(self, volumes: Tensor) -> Tensor:
        return self._decompress(self._compress(volumes))

    def _encode_semantic(self, volumes: Tensor) -> Tensor:
        return self.model.encode_semantic(volumes[:, None])

    def _infer_noise(self, volumes: Tensor, codes: Tensor) -> Tensor:
        return self.model.encode_stochastic(self._compress(volumes), codes, steps=self.steps)

    def _generate(self, codes: Tensor, noise: Tensor) -> Tensor:
        return self._decompress(self.model.decode(codes, noise, steps=self.steps))

    def _sample(self, noise: Tensor) -> Tensor:
        return self._decompress(self.model.decode(None, noise, steps=self.steps))

    @torch.no_grad()
    def _in_batches(self, what: str, step: Callable[..., Tensor], *arrays: np.ndarray) -> np.ndarray:
        count, done = len(arrays[0]), list[np.ndarray]()
        for start in range(0, count, self.scans_at_once):
            stop = min(start + self.scans_at_once, count)
            parts = [torch.from_numpy(np.float32(array[start:stop])) for array in arrays]
            try:
                done.append(step(*(part.to(self.device) for part in parts)).float().cpu().numpy())
            except torch.cuda.OutOfMemoryError as error:
                raise SettingsError(_no_room(what, error)) from error
            if self.progress:
                self.progress(what, stop, count)
        return np.concatenate(done)


def _no_room(what: str, error: Exception) -> str:
    first_line = str(error).partition("\n")[0]
    return (
        f"{what}: expected room on the GPU, got {first_line} Work in slabs, by --slabs 4 "
        "or `LDAE.load(..., slabs=4)`, more where 4 do not suffice; elsewhere use --device cpu."
    )


def lerp(first: np.ndarray, second: np.ndarray, fraction: Float[ndarray, " scan"]) -> np.ndarray:
    """Go the fraction of the straight way from first to second, scan by scan."""
    weight = fraction.reshape(-1, *[1] * (first.ndim - 1)).astype(first.dtype)
    return (1 - weight) * first + weight * second


def slerp(first: LatentArray, second: LatentArray, fraction: Float[ndarray, " scan"]) -> LatentArray:
    """Go the fraction of the arc from first to second (Shoemake 1985), scan by scan, which keeps noise's length."""
    flat_first, flat_second = first.reshape(len(first), -1), second.reshape(len(second), -1)
    lengths = np.linalg.norm(flat_first, axis=1) * np.linalg.norm(flat_second, axis=1)
    cosine = np.clip((flat_first * flat_second).sum(1) / np.maximum(lengths, 1e-12), -1, 1)
    angle = np.arccos(cosine)
    sine = np.sin(angle)
    straight = sine < 1e-4  # parallel: the arc is the straight way, and dividing by its sine would not be stable
    safe = np.where(straight, 1.0, sine)
    start = np.where(straight, 1 - fraction, np.sin((1 - fraction) * angle) / safe)
    end = np.where(straight, fraction, np.sin(fraction * angle) / safe)
    shape = (-1, 1, 1, 1, 1)
    return (start.reshape(shape) * first + end.reshape(shape) * second).astype(np.float32)
