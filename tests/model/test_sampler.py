"""DDIM against targets whose score is known in closed form."""

import math
from itertools import pairwise

import pytest
import torch

from neurolatent.errors import SettingsError
from neurolatent.model.noise import CLEAN, signal_at
from neurolatent.model.sampler import (
    Prediction,
    ddim_step,
    decode_from_noise,
    encode_to_noise,
    extrapolate,
    split,
    trajectory,
)

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
    here, there = math.acos(math.sqrt(0.5)), math.acos(math.sqrt(0.9))
    now = split(math.sqrt(0.5) * clean + math.sqrt(0.5) * noise, noise, here)
    moved = ddim_step(math.sqrt(0.5) * (clean + noise), now, there)
    assert now.clean.item() == pytest.approx(0.3)
    assert moved.item() == pytest.approx(math.sqrt(0.9) * 0.3 - math.sqrt(0.1) * 1.2)


def test_a_prediction_that_stands_still_is_extrapolated_to_itself():
    now = Prediction(torch.ones(1, 1, 1, 1, 1), torch.zeros(1, 1, 1, 1, 1), 0.5)
    assert extrapolate(now, now._replace(angle=0.4), 0.7) == now
    ahead = extrapolate(now, now._replace(clean=torch.zeros(1, 1, 1, 1, 1), angle=0.4), 0.6)
    assert ahead.clean.item() == pytest.approx(1.5)  # +1 per 0.1: half-way to 0.6 is 0.05 further


def test_nothing_is_clamped():
    far = torch.full((1, 1, 1, 1, 1), 30.0)
    assert split(far, torch.zeros_like(far), 0.0).clean.item() == pytest.approx(30.0)


@pytest.mark.parametrize("order", [1, 2])
def test_a_network_that_predicts_no_noise_inverts_exactly(clean, order):
    noise = encode_to_noise(clean, no_noise, steps=10, order=order)
    torch.testing.assert_close(noise, math.sqrt(signal_at(999)) * clean)
    torch.testing.assert_close(decode_from_noise(noise, no_noise, steps=10, order=order), clean)


@pytest.mark.parametrize("order", [1, 2])
def test_inferred_noise_of_a_gaussian_is_its_standard_score(clean, order):
    """The path of a Gaussian keeps each point's standard score: z_T − √ᾱ_T·mean over the marginal's SD."""
    signal = signal_at(999)
    exact = math.sqrt(signal) * MEAN + math.sqrt(signal * SD**2 + 1 - signal) * (clean - MEAN) / SD
    encoded = [encode_to_noise(clean, gaussian_noise, steps=n, order=order) for n in (10, 100, 1000)]
    errors = [(noise - exact).abs().mean().item() for noise in encoded]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.01


@pytest.mark.parametrize(("order", "factor"), [(1, 3), (2, 10)])
def test_encode_then_decode_error_shrinks_with_steps(clean, order, factor):
    errors: list[float] = []
    for steps in (5, 20, 80):
        noise = encode_to_noise(clean, gaussian_noise, steps=steps, order=order)
        decoded = decode_from_noise(noise, gaussian_noise, steps=steps, order=order)
        errors.append((decoded - clean).abs().mean().item())
    assert all(after < before / factor for before, after in pairwise(errors))


def test_ten_steps_of_second_order_return_what_plain_ddim_loses(clean):
    kept = {}
    for order in (1, 2):
        noise = encode_to_noise(clean, gaussian_noise, steps=10, order=order)
        decoded = decode_from_noise(noise, gaussian_noise, steps=10, order=order)
        kept[order] = ((decoded - MEAN) / (clean - MEAN)).mean().item()
    assert 0.7 < kept[1] < 0.8
    assert 0.97 < kept[2] < 1.0
