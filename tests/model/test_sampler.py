"""From z_0 to z_T and back, against targets whose score is known in closed form."""

import math
from itertools import pairwise
from typing import get_args

import pytest
import torch

from neurolatent.errors import SettingsError
from neurolatent.model.noise import (
    CLEAN,
    add_noise,
    angle_at,
    clean_from_noise,
    clean_from_velocity,
    noise_from_clean,
    noise_from_velocity,
    signal_at,
    timestep_at,
    velocity_of,
)
from neurolatent.model.sampler import (
    NOISE_FROM,
    SPACINGS,
    Predicts,
    Spacing,
    decode_from_noise,
    encode_to_noise,
    trajectory,
)
from neurolatent.model.solvers import SOLVERS, Solver, choose

MEAN, SD = 0.7, 0.4


def gaussian_noise(latent, timestep):
    """The noise in a latent of N(MEAN, SD²): −√(1 − ᾱ) times the score of its marginal."""
    signal = signal_at(timestep)
    variance = signal * SD**2 + 1 - signal
    return math.sqrt(1 - signal) * (latent - math.sqrt(signal) * MEAN) / variance


def gaussian_velocity(latent, timestep):
    """What a v-prediction network that knows the same says."""
    signal, noise = signal_at(timestep), gaussian_noise(latent, timestep)
    return velocity_of(clean_from_noise(latent, noise, signal), noise, signal)


def no_noise(latent, timestep):
    return torch.zeros_like(latent)


@pytest.fixture
def clean():
    return MEAN + SD * torch.randn(2, 3, 4, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def exact_noise(clean):
    """The path of a Gaussian keeps each point's standard score: z_T − √ᾱ_T·mean over the marginal's SD."""
    signal = signal_at(999)
    return math.sqrt(signal) * MEAN + math.sqrt(signal * SD**2 + 1 - signal) * (clean - MEAN) / SD


@pytest.mark.parametrize("steps", [1, 7, 10, 1000])
def test_trajectory_runs_from_clean_to_last_without_repeats(steps):
    path = trajectory(steps)
    assert (path[0], path[-1], len(set(path))) == (CLEAN, 999, steps + 1)
    assert list(path) == sorted(path)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_spacing_ascends_at_every_step_count(spacing):
    first, most = (0, 999) if spacing == "published" else (CLEAN, 1000)
    for steps in range(1, most + 1):
        path = trajectory(steps, spacing=spacing)
        assert (path[0], len(path)) == (first, steps + 1)
        assert all(before < after for before, after in pairwise(path))
        assert path[-1] <= 999


def test_usual_spacings_are_those_of_the_table():
    """Lin et al. 2023, table 2, for 10 steps; theirs count from 1."""
    expected = {
        "leading": (1, 101, 201, 301, 401, 501, 601, 701, 801, 901),
        "trailing": (100, 200, 300, 400, 500, 600, 700, 800, 900, 1000),
        "linspace": (1, 112, 223, 334, 445, 556, 667, 778, 889, 1000),
    }
    for spacing, counted_from_one in expected.items():
        assert trajectory(10, spacing=spacing) == (CLEAN, *(step - 1 for step in counted_from_one))


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_step_counts_are_refused(steps):
    with pytest.raises(SettingsError, match=f"Expected 1 to 1000 sampling steps, got {steps}"):
        trajectory(steps)


@pytest.mark.parametrize("path", [(999,), (999, 0), (0, 5, 5), (-2, 999), (0, 1000)])
def test_impossible_timesteps_are_refused(clean, path):
    for sample in (encode_to_noise, decode_from_noise):
        with pytest.raises(SettingsError, match="Expected two or more ascending timesteps from -1 to 999, got"):
            sample(clean, no_noise, steps=path)


@pytest.mark.parametrize(("names", "among"), [(Solver, SOLVERS), (Spacing, SPACINGS), (Predicts, NOISE_FROM)])
def test_every_name_that_may_be_asked_for_is_there(names, among):
    assert set(get_args(names)) == set(among)


@pytest.mark.parametrize(("kind", "among"), [("solver", SOLVERS), ("spacing", SPACINGS), ("prediction", NOISE_FROM)])
def test_the_unknown_is_refused_by_naming_the_known(kind, among):
    with pytest.raises(SettingsError, match=f"Unknown {kind} 'euler'; choose from .*{min(among)}"):
        choose(kind, "euler", among)


def test_every_timestep_is_found_again_by_its_angle():
    assert [timestep_at(angle_at(timestep)) for timestep in range(1000)] == list(range(1000))
    assert timestep_at(angle_at(CLEAN)) == 0  # no network knows the clean one


def test_noise_clean_and_velocity_convert_into_each_other():
    generator = torch.Generator().manual_seed(2)
    clean, noise = (torch.randn(3, 2, 3, 3, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    signal = torch.tensor([0.99, 0.5, 0.01], dtype=torch.float64)[:, None, None, None, None]
    noisy, velocity = add_noise(clean, noise, signal), velocity_of(clean, noise, signal)
    torch.testing.assert_close(clean_from_noise(noisy, noise, signal), clean)
    torch.testing.assert_close(noise_from_clean(noisy, clean, signal), noise)
    torch.testing.assert_close(clean_from_velocity(noisy, velocity, signal), clean)
    torch.testing.assert_close(noise_from_velocity(noisy, velocity, signal), noise)


def test_velocity_is_what_the_latent_moves_by_per_angle():
    """v = dz/dφ at fixed z_0 and ε: Salimans & Ho 2022, appendix D."""
    clean, noise = (torch.full((1, 1, 1, 1, 1), value, dtype=torch.float64) for value in (0.3, -1.2))
    angle, change = 0.6, 1e-6
    here, there = (add_noise(clean, noise, torch.full_like(clean, math.cos(a) ** 2)) for a in (angle, angle + change))
    slope = ((there - here) / change).item()
    assert velocity_of(clean, noise, math.cos(angle) ** 2).item() == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_network_that_predicts_no_noise_inverts_exactly(clean, solver):
    noise = encode_to_noise(clean, no_noise, steps=10, solver=solver)
    torch.testing.assert_close(noise, math.sqrt(signal_at(999)) * clean)
    torch.testing.assert_close(decode_from_noise(noise, no_noise, steps=10, solver=solver), clean)


@pytest.mark.parametrize("solver", SOLVERS)
def test_inferred_noise_of_a_gaussian_is_its_standard_score(clean, exact_noise, solver):
    encoded = [encode_to_noise(clean, gaussian_noise, steps=n, solver=solver) for n in (10, 100, 1000)]
    errors = [(noise - exact_noise).abs().mean().item() for noise in encoded]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.01


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("spacing", ["angle", "trailing", "linspace"])
def test_a_thousand_steps_decode_a_standard_score_to_its_latent(clean, exact_noise, solver, spacing):
    path = trajectory(1000, spacing=spacing)
    decoded = decode_from_noise(exact_noise, gaussian_noise, steps=path, solver=solver)
    torch.testing.assert_close(decoded, clean, rtol=0, atol=0.01)


@pytest.mark.parametrize(("solver", "factor"), [("ddim", 3), ("adams-bashforth", 10), ("dpm-solver++", 10)])
def test_encode_then_decode_error_shrinks_with_steps(clean, solver, factor):
    errors: list[float] = []
    for steps in (5, 20, 80):
        noise = encode_to_noise(clean, gaussian_noise, steps=steps, solver=solver)
        decoded = decode_from_noise(noise, gaussian_noise, steps=steps, solver=solver)
        errors.append((decoded - clean).abs().mean().item())
    assert all(after < before / factor for before, after in pairwise(errors))


def test_ten_steps_of_second_order_return_what_plain_ddim_loses(clean):
    kept = {}
    for solver in get_args(Solver):
        noise = encode_to_noise(clean, gaussian_noise, steps=10, solver=solver)
        decoded = decode_from_noise(noise, gaussian_noise, steps=10, solver=solver)
        kept[solver] = ((decoded - MEAN) / (clean - MEAN)).mean().item()
    assert 0.7 < kept["ddim"] < 0.8
    assert 0.97 < kept["adams-bashforth"] < 1.0
    assert 0.97 < kept["dpm-solver++"] < 1.03


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("steps", [1, 10, trajectory(20, spacing="trailing")])
def test_a_velocity_network_that_knows_the_same_gives_the_same_samples(clean, solver, steps):
    for sample in (encode_to_noise, decode_from_noise):
        by_noise = sample(clean, gaussian_noise, steps=steps, solver=solver)
        by_velocity = sample(clean, gaussian_velocity, steps=steps, solver=solver, predicts="velocity")
        torch.testing.assert_close(by_velocity, by_noise, rtol=1e-9, atol=1e-9)


def test_second_order_along_the_angle_is_the_default(clean):
    for sample in (encode_to_noise, decode_from_noise):
        by_default = sample(clean, gaussian_noise, steps=7)
        spelt_out = sample(
            clean, gaussian_noise, steps=trajectory(7, spacing="angle"), solver="adams-bashforth", predicts="noise"
        )
        assert torch.equal(by_default, spelt_out)


def test_default_path_and_samples_have_not_moved():
    """Shipped weights and analyses rest on these, computed before there was a choice of solvers."""
    latent = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64).reshape(1, 3, 1, 1, 1)
    encoded = encode_to_noise(latent, gaussian_noise, steps=10)
    decoded = decode_from_noise(latent, gaussian_noise, steps=10)
    assert trajectory(10) == (CLEAN, 11, 40, 77, 122, 175, 237, 310, 403, 535, 999)
    assert encoded.flatten().tolist() == pytest.approx([-4.355297378846, -0.508464287085, 3.338368804675])
    assert decoded.flatten().tolist() == pytest.approx([0.312352184844, 0.891249566747, 1.470146948650])
