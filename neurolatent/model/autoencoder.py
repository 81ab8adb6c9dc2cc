"""The latent diffusion autoencoder: a scan to a semantic and a stochastic code, and back."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurolatent.device import autocast
from neurolatent.model.constructions import build_networks
from neurolatent.model.noise import gather_signal, shift_noise
from neurolatent.model.presets import Preset
from neurolatent.model.sampler import PredictNoise, Trajectory, decode_from_noise, encode_to_noise, trajectory
from neurolatent.model.slabs import Slabs
from neurolatent.model.vae import Compressed
from neurolatent.shapes import Code, Latent, Timestep, Volume


class LatentScaling(nn.Module):
    """Centre and scale latents by their training statistics; outside the support they are constant, hence zero.

    Most of the grid is background, whose latent never varies. A diffusion model can say nothing about it: noise
    inferred there would be nought, and would spoil the normalisation of what lies beside it.
    """

    mean: Float[Tensor, "channel i j k"]
    support: Float[Tensor, "1 i j k"]
    scale: Float[Tensor, ""]

    def __init__(self, *, latent_channels: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent_channels, *shape))
        self.register_buffer("support", torch.ones(1, *shape))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, latent: Latent) -> Latent:
        """From the VAE's units to unit variance."""
        return (latent - self.mean) * self.scale * self.support

    def invert(self, latent: Latent) -> Latent:
        """From unit variance to the VAE's units."""
        return latent * self.support / self.scale + self.mean


@dataclass(frozen=True)
class NoiseStatistics:
    """What white noise would make 0, 1 and 0; taken inside the support alone."""

    mean: float
    sd: float
    neighbour_autocorrelation: float


class LatentDiffusionAutoencoder(nn.Module):
    """VAE, denoiser, semantic encoder and gradient estimator of one preset."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset
        networks = build_networks(preset)
        self.vae = networks.vae
        self.scaling = LatentScaling(latent_channels=preset.latent_channels, shape=preset.latent_shape)
        self.denoiser, self.semantic, self.gradient = networks.denoiser, networks.semantic, networks.gradient
        self.slabs: int | None = None

    def use_slabs(self, count: int | None) -> None:
        """Let the VAE work through each scan in so many slabs, for GPUs that cannot hold it whole; none by default.

        What lies between its layers then stays in the processor's memory. It is slower, and the same but for rounding.
        """
        if count is not None:
            Slabs(count)  # refuses what is no number of slabs
        self.slabs = count if any(isinstance(layer, nn.Conv3d) for layer in self.vae.modules()) else None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.scaling.scale.device

    @torch.no_grad()
    def compress(self, volume: Volume) -> Compressed:
        """Return z_0: the VAE's posterior mean, centred and scaled."""
        with self._arithmetic(), self._in_slabs():
            mean = self.vae.encode(self._at_home(volume)).mean
        return self.scaling(mean.to(self.device))

    @torch.no_grad()
    def decompress(self, latent: Compressed) -> Volume:
        """Return the scan of a latent, limited to [0, 1]."""
        inverted = self._at_home(self.scaling.invert(latent))
        with self._arithmetic(), self._in_slabs():
            return self.vae.decode(inverted).to(self.device).clamp(0, 1)

    @torch.no_grad()
    def encode_semantic(self, volume: Volume) -> Code:
        """Return y."""
        seen = volume if self.semantic.reads_scan else self.compress(volume)
        with self._arithmetic():
            return self.semantic(seen)

    @torch.no_grad()
    def encode_stochastic(self, latent: Latent, code: Code, *, steps: int) -> Latent:
        """Return z_T, from which and `code` the same number of steps lead back to about `latent`."""
        predict, path, solver = self._predictor(code), self._path(steps), self.preset.solver
        return encode_to_noise(latent, predict, steps=path, solver=solver) * self.scaling.support

    @torch.no_grad()
    def decode(self, code: Code | None, stochastic: Latent, *, steps: int) -> Latent:
        """Return z_0 from y and z_T; without a code the denoiser alone leads there, to a brain of nobody."""
        predict, path, solver = self._predictor(code), self._path(steps), self.preset.solver
        return decode_from_noise(stochastic * self.scaling.support, predict, steps=path, solver=solver)

    def draw_noise(self, count: int, *, seed: int) -> Latent:
        """Draw z_T at random: white noise inside the support; the same seed gives the same on any device."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(count, *self.scaling.mean.shape, generator=generator)
        return noise.to(self.device) * self.scaling.support

    def predict_noise(self, noisy: Latent, timestep: Timestep, code: Code) -> Latent:
        """Return ε̂ given the code."""
        noise, gradient = self.predict_parts(noisy, timestep, code)
        return shift_noise(noise, gradient, gather_signal(timestep)) * self.scaling.support

    def predict_parts(self, noisy: Latent, timestep: Timestep, code: Code) -> tuple[Latent, Latent]:
        """Return ε_θ and G_ψ; the frozen way down is computed once for both ways up."""
        down = self.denoiser.descend(noisy, timestep)
        return self.denoiser.ascend(noisy, timestep, down), self.gradient(down, timestep, code)

    def noise_statistics(self, stochastic: Latent) -> NoiseStatistics:
        """Say how close inferred noise is to white noise; neighbours are those along the three axes."""
        inside = self.scaling.support.bool().expand_as(stochastic)
        values = stochastic[inside].double()
        mean, variance = values.mean(), values.var()
        products: list[Tensor] = []
        for axis in (2, 3, 4):
            count = stochastic.shape[axis] - 1
            left, right = stochastic.narrow(axis, 0, count), stochastic.narrow(axis, 1, count)
            both = inside.narrow(axis, 0, count) & inside.narrow(axis, 1, count)
            products.append((left[both].double() - mean) * (right[both].double() - mean))
        autocorrelation = torch.cat(products).mean() / variance
        return NoiseStatistics(float(mean), sqrt(float(variance)), float(autocorrelation))

    def _predictor(self, code: Code | None) -> PredictNoise:
        def predict(noisy: Latent, timestep: int) -> Latent:
            steps = torch.full((len(noisy),), timestep, device=noisy.device)
            with self._arithmetic():
                if code is None:
                    return self.denoiser(noisy, steps) * self.scaling.support
                return self.predict_noise(noisy, steps, code)

        return predict

    def _path(self, steps: int) -> Trajectory:
        return trajectory(steps, spacing=self.preset.spacing)

    def _in_slabs(self) -> AbstractContextManager[object]:
        return nullcontext() if self.slabs is None else Slabs(self.slabs)

    def _at_home(self, values: Tensor) -> Tensor:
        """Bring what the VAE is to read to where it reads it."""
        return values if self.slabs is None else values.cpu()

    def _arithmetic(self) -> torch.autocast:
        return autocast(self.device, enabled=self.preset.mixed_precision)
