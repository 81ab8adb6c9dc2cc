"""The published loss and path, by hand."""

import math

import pytest
import torch

from neurolatent.errors import SettingsError
from neurolatent.model.noise import gather_signal, published_shifts, signal_at, signal_fractions
from neurolatent.model.sampler import decode_from_noise, encode_to_noise, trajectory
from neurolatent.shapes import Latent
from neurolatent.training.losses import noise_error
from neurolatent.training.objectives import OBJECTIVES

PATH = trajectory(10, spacing="published")


def no_noise(latent: Latent, _timestep: int) -> Latent:
    return torch.zeros_like(latent)


def test_training_shift_is_nought_then_less_than_half_of_what_sampling_shifts():
    ratio = -published_shifts() / (1 - signal_fractions()).sqrt()
    assert ratio[0] == 0
    assert ratio[1].item() == pytest.approx(0.45, abs=0.01)
    assert ratio[-1].item() == pytest.approx(0.99, abs=0.01)


def test_representation_loss_by_hand():
    one, timestep, objective = torch.ones(1, 1, 1, 1, 2), torch.tensor([640]), OBJECTIVES["published"]
    signal, shift = signal_at(640), objective.shift(timestep)
    ratio = signal / (1 - signal)
    weight = objective.autoencoder_weight(gather_signal(timestep))
    loss = noise_error(3 * one, 0.5 * one + shift * 2 * one, weight=weight, support=one[0])
    assert loss.tolist() == pytest.approx([ratio**0.1 / (1 + ratio) * (3 - 0.5 - 2 * shift.item()) ** 2], rel=1e-5)


@pytest.mark.parametrize("steps", [1, 7, 10, 100, 999])
def test_trajectory_runs_from_the_first_to_the_last_timestep_without_repeats(steps: int):
    path = trajectory(steps, spacing="published")
    assert (path[0], path[-1], len(set(path))) == (0, 999, steps + 1)
    assert list(path) == sorted(path)


@pytest.mark.parametrize("steps", [0, 1000])
def test_impossible_step_counts_are_refused(steps: int):
    with pytest.raises(SettingsError, match=rf"Expected 1 to \d+ sampling steps.*, got {steps}"):
        trajectory(steps, spacing="published")


def test_silent_networks_invert_exactly_from_the_first_timestep():
    clean = torch.randn(1, 2, 3, 4, 3, generator=torch.Generator().manual_seed(0))
    noise = encode_to_noise(clean, no_noise, steps=PATH, solver="ddim")
    torch.testing.assert_close(noise, math.sqrt(signal_at(999) / signal_at(0)) * clean)
    torch.testing.assert_close(decode_from_noise(noise, no_noise, steps=PATH, solver="ddim"), clean)


def test_the_clamp_clips_what_a_latent_of_unit_variance_holds():
    noise = torch.full((1, 1, 1, 1, 1), 2 * math.sqrt(signal_at(999)))
    free, clamped = (
        decode_from_noise(noise, no_noise, steps=PATH, solver="ddim", limit=limit) for limit in (None, 1.0)
    )
    assert free.item() == pytest.approx(2, abs=0.01)
    assert clamped.item() == pytest.approx(1, abs=0.02)
