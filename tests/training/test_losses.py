"""Losses against cases worked out by hand."""

import math

import pytest
import torch

from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.noise import TIMESTEPS, add_noise, clean_weight, gather_signal
from neurolatent.model.presets import PRESETS
from neurolatent.model.vae import Posterior
from neurolatent.training.draws import Draws
from neurolatent.training.losses import absolute_error, divergence, edge_error, noise_error
from neurolatent.training.modules import RepresentationStage

TINY = PRESETS["tiny"]


def test_a_shifted_brightness_costs_no_edges_but_a_blurred_edge_does():
    step = torch.zeros(1, 1, 4, 4, 4)
    step[:, :, 2:] = 1
    blurred = torch.tensor([0, 0.25, 0.75, 1]).reshape(1, 1, 4, 1, 1).expand_as(step)
    assert edge_error(step, step + 0.1).item() == pytest.approx(0, abs=1e-6)
    assert absolute_error(step, blurred).item() == pytest.approx(0.125)
    assert edge_error(step, blurred).item() == pytest.approx((0.25 + 0.5 + 0.25) / 3 / 3)


def test_divergence_of_known_gaussians():
    zero = torch.zeros(1, 2, 3, 3, 3)
    assert divergence(Posterior(zero, zero)).item() == 0
    shifted = Posterior(zero + 1, zero + math.log(4))
    assert divergence(shifted).item() == pytest.approx(0.5 * (1 + 4 - 1 - math.log(4)))


def test_noise_error_counts_the_support_alone():
    noise, predicted = torch.zeros(1, 2, 2, 2, 2), torch.ones(1, 2, 2, 2, 2)
    predicted[:, :, 1] = 100
    support = torch.zeros(1, 2, 2, 2)
    support[:, 0] = 1
    weight = torch.full((1, 1, 1, 1, 1), 3.0)
    assert noise_error(noise, predicted, weight=weight, support=support).item() == pytest.approx(3)


@pytest.fixture
def stage():
    torch.manual_seed(0)
    model = LatentDiffusionAutoencoder(TINY)
    return RepresentationStage(model, length=TINY.autoencoder, steps=10, seed=1, name_scans=lambda rows: [])


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(5)
    return {
        "rows": [0, 1],
        "volume": torch.rand(2, 1, *TINY.grid_shape, generator=generator),
        "latent": torch.randn(2, TINY.latent_channels, *TINY.latent_shape, generator=generator),
    }


def test_pdae_loss_of_a_known_gradient(stage, batch):
    """An untrained denoiser says √(1 − ᾱ) z_t; a constant G = √ᾱ h then moves ε̂ by −√(1 − ᾱ)√ᾱ h, in training too."""
    height = 0.3
    torch.nn.init.constant_(stage.gradient.up.head[-1].bias, height)
    clean, draws = batch["latent"], Draws(seed=1, step=0, places=[0, 1])
    noise, timestep = draws.normal_like(clean), draws.timesteps(clean.device)
    signal = gather_signal(timestep)
    noisy = add_noise(clean, noise, signal)
    predicted = (1 - signal).sqrt() * noisy - (1 - signal).sqrt() * signal.sqrt() * height
    expected = (clean_weight(signal) * (noise - predicted) ** 2).flatten(1).mean(1)
    torch.testing.assert_close(
        stage.losses(batch, Draws(seed=1, step=0, places=[0, 1])), expected, rtol=1e-4, atol=1e-5
    )


def test_the_frozen_denoiser_learns_nothing(stage, batch):
    before = [parameter.clone() for parameter in stage.model.denoiser.parameters()]
    optimiser = stage.configure_optimizers()["optimizer"]
    for step in range(2):
        optimiser.zero_grad()
        stage.losses(batch, Draws(seed=1, step=step, places=[0, 1])).mean().backward()
        optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(before, stage.model.denoiser.parameters(), strict=True))
    assert not any(name.startswith(("denoiser", "vae")) for name, _ in stage.named_parameters())


def test_timesteps_cover_the_whole_schedule():
    timestep = Draws(seed=0, step=0, places=range(4000)).timesteps(torch.device("cpu"))
    assert (timestep.min().item(), timestep.max().item()) == (0, TIMESTEPS - 1)


def test_noise_belongs_to_the_scan_and_not_to_its_place_in_a_piece():
    values = torch.zeros(4, 3, 2, 2, 2, dtype=torch.float64)
    whole = Draws(seed=2, step=5, places=range(4))
    noise, timestep = whole.normal_like(values), whole.timesteps(values.device)
    part = Draws(seed=2, step=5, places=[3, 1])
    assert torch.equal(part.normal_like(values[:2]), noise[[3, 1]])
    assert torch.equal(part.timesteps(values.device), timestep[[3, 1]])
    assert not torch.equal(Draws(seed=2, step=6, places=range(4)).normal_like(values), noise)
