"""The published loss and path, by hand."""

import math

import pytest
import torch

from neurolatent.errors import SettingsError
from neurolatent.model.noise import signal_at, signal_fractions
from neurolatent.model.published.diffusion import (
    decode_from_noise,
    encode_to_noise,
    gather_shift,
    published_trajectory,
    representation_loss,
    training_shifts,
)
from neurolatent.model.published.unet import Step
from neurolatent.shapes import Latent


def no_noise(latent: Latent, _timestep: int) -> Latent:
    return torch.zeros_like(latent)


def test_training_shift_is_nought_then_less_than_half_of_what_sampling_shifts():
    ratio = -training_shifts() / (1 - signal_fractions()).sqrt()
    assert ratio[0] == 0
    assert ratio[1].item() == pytest.approx(0.45, abs=0.01)
    assert ratio[-1].item() == pytest.approx(0.99, abs=0.01)


def test_representation_loss_by_hand():
    one = torch.ones(1, 1, 1, 1, 2)
    timestep = torch.tensor([640])
    signal, shift = signal_at(640), gather_shift(timestep).item()
    ratio = signal / (1 - signal)
    loss = representation_loss(Step(noise=0.5 * one, gradient=2 * one), 3 * one, timestep)
    assert loss.tolist() == pytest.approx([ratio**0.1 / (1 + ratio) * (3 - 0.5 - 2 * shift) ** 2], rel=1e-5)


@pytest.mark.parametrize("steps", [1, 7, 10, 100, 999])
def test_trajectory_runs_from_the_first_to_the_last_timestep_without_repeats(steps: int):
    path = published_trajectory(steps)
    assert (path[0], path[-1], len(set(path))) == (0, 999, steps + 1)
    assert list(path) == sorted(path)


@pytest.mark.parametrize("steps", [0, 1000])
def test_impossible_step_counts_are_refused(steps: int):
    with pytest.raises(SettingsError, match=f"Expected 1 to 999 sampling steps, got {steps}"):
        published_trajectory(steps)


def test_silent_networks_invert_exactly_from_the_first_timestep():
    clean = torch.randn(1, 2, 3, 4, 3, generator=torch.Generator().manual_seed(0))
    noise = encode_to_noise(clean, no_noise, steps=10)
    torch.testing.assert_close(noise, math.sqrt(signal_at(999) / signal_at(0)) * clean)
    torch.testing.assert_close(decode_from_noise(noise, no_noise, steps=10), clean)


def test_the_clamp_clips_what_a_latent_of_unit_variance_holds():
    noise = torch.full((1, 1, 1, 1, 1), 2 * math.sqrt(signal_at(999)))
    free, clamped = (decode_from_noise(noise, no_noise, steps=10, limit=limit) for limit in (None, 1.0))
    assert free.item() == pytest.approx(2, abs=0.01)
    assert clamped.item() == pytest.approx(1, abs=0.02)
