"""The schedule and its equations, against numbers computed otherwise."""

import numpy as np
import pytest
import torch

from neurolatent.model.noise import (
    CLEAN,
    TIMESTEPS,
    add_noise,
    betas,
    clean_weight,
    gather_signal,
    published_weight,
    shift_noise,
    signal_at,
    signal_fractions,
    velocity_weight,
)


def test_schedule_is_linear_from_1e_4_to_0_02():
    expected = np.linspace(1e-4, 0.02, 1000)
    assert TIMESTEPS == 1000
    np.testing.assert_allclose(betas().numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(signal_fractions().numpy(), np.cumprod(1 - expected), rtol=1e-12)


def test_clean_timestep_is_all_signal_and_the_last_nearly_none():
    assert signal_at(CLEAN) == 1.0
    assert signal_at(0) == pytest.approx(0.9999)
    assert signal_at(999) == pytest.approx(4.0358e-5, rel=1e-4)


def test_noising_by_hand():
    signal = torch.tensor([0.64]).reshape(1, 1, 1, 1, 1)
    noisy = add_noise(torch.full((1, 1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1, 1), -1.0), signal)
    assert noisy.item() == pytest.approx(0.8 * 2 - 0.6)


def test_noised_white_noise_keeps_its_variance_at_every_timestep():
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(4, 1, 20, 20, 20, generator=generator) for _ in range(2))
    noisy = add_noise(clean, noise, gather_signal(torch.tensor([0, 300, 600, 999])))
    np.testing.assert_allclose(noisy.flatten(1).var(1), 1.0, atol=0.05)


def test_weights_by_hand():
    signal = torch.tensor([0.8]).reshape(1, 1, 1, 1, 1)  # SNR 4
    assert published_weight(signal).item() == pytest.approx(4**0.1 / 5)
    assert clean_weight(signal, floor=0.05).item() == pytest.approx(1 / 4.05)
    assert velocity_weight(signal).item() == pytest.approx(1.25)


def test_shift_moves_the_predicted_clean_latent_along_the_gradient():
    signal = torch.tensor([0.36]).reshape(1, 1, 1, 1, 1)
    noisy, noise, gradient = (torch.full((1, 1, 1, 1, 1), value) for value in (0.5, 0.25, 2.0))
    shifted = shift_noise(noise, gradient, signal)
    assert shifted.item() == pytest.approx(0.25 - 0.8 * 2.0)
    before, after = ((noisy - 0.8 * epsilon) / 0.6 for epsilon in (noise, shifted))
    assert (after - before).item() == pytest.approx(0.64 / 0.6 * 2.0)
