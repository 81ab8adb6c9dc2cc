"""DDIM against targets whose score is known in closed form."""

import math

import pytest
import torch

from neurolatent.errors import SettingsError
from neurolatent.model.noise import CLEAN, signal_at
from neurolatent.model.sampler import ddim_step, decode_from_noise, encode_to_noise, trajectory

MEAN, SD = 0.7, 0.4


def gaussian_noise(latent, timestep):
    """The noise in a latent of N(MEAN, SD²): −√(1 − ᾱ) times the score of its marginal."""
    signal = signal_at(timestep)
    variance = signal * SD**2 + 1 - signal
    return math.sqrt(1 - signal) * (latent - math.sqrt(signal) * MEAN) / variance


def no_noise(latent, timestep):
    return torch.zeros_like(latent)


@pytest.fixture
def clean():
    return MEAN + SD * torch.randn(2, 3, 4, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 7, 10, 1000])
def test_trajectory_runs_from_clean_to_last_without_repeats(steps):
    path = trajectory(steps)
    assert (path[0], path[-1], len(set(path))) == (CLEAN, 999, steps + 1)
    assert list(path) == sorted(path)


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_step_counts_are_refused(steps):
    with pytest.raises(SettingsError, match=f"Expected 1 to 1000 sampling steps, got {steps}"):
        trajectory(steps)


def test_a_step_with_the_true_noise_lands_on_the_same_path():
    clean, noise = torch.full((1, 1, 1, 1, 1), 0.3), torch.full((1, 1, 1, 1, 1), -1.2)
    noisy = math.sqrt(0.5) * clean + math.sqrt(0.5) * noise
    moved = ddim_step(noisy, noise, signal_from=0.5, signal_to=0.9)
    assert moved.item() == pytest.approx(math.sqrt(0.9) * 0.3 - math.sqrt(0.1) * 1.2)


def test_nothing_is_clamped():
    far = torch.full((1, 1, 1, 1, 1), 30.0)
    assert ddim_step(far, torch.zeros_like(far), signal_from=1.0, signal_to=1.0).item() == pytest.approx(30.0)


def test_a_network_that_predicts_no_noise_inverts_exactly(clean):
    noise = encode_to_noise(clean, no_noise, steps=10)
    torch.testing.assert_close(noise, math.sqrt(signal_at(999)) * clean)
    torch.testing.assert_close(decode_from_noise(noise, no_noise, steps=10), clean)


def test_inferred_noise_of_a_gaussian_is_its_standard_score(clean):
    """The path of a Gaussian keeps each point's standard score: z_T − √ᾱ_T·mean over the marginal's SD."""
    signal = signal_at(999)
    exact = math.sqrt(signal) * MEAN + math.sqrt(signal * SD**2 + 1 - signal) * (clean - MEAN) / SD
    errors = [(encode_to_noise(clean, gaussian_noise, steps=n) - exact).abs().mean() for n in (10, 100, 1000)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.01


def test_encode_then_decode_error_shrinks_with_steps(clean):
    errors = []
    for steps in (5, 20, 80, 320):
        noise = encode_to_noise(clean, gaussian_noise, steps=steps)
        errors.append((decode_from_noise(noise, gaussian_noise, steps=steps) - clean).abs().mean().item())
    assert all(after < before / 2 for before, after in zip(errors, errors[1:], strict=False))
