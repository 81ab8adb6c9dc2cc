"""Each solver against closed forms, exact paths, and the schedulers of `diffusers`."""

import math

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddim_inverse import DDIMInverseScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep_inverse import DPMSolverMultistepInverseScheduler

from neurolatent.model.noise import CLEAN, FIRST_BETA, LAST_BETA, TIMESTEPS, velocity_of
from neurolatent.model.sampler import decode_from_noise, encode_to_noise, trajectory
from neurolatent.model.solvers import (
    Prediction,
    assume_clean,
    clamp,
    ddim_step,
    extrapolate,
    extrapolate_clean,
    integrate,
    log_ratio,
    split,
)

SEVERAL = torch.linspace(-2, 2, 60, dtype=torch.float64).reshape(1, 3, 4, 5, 1)
ONE = torch.ones(1, 1, 1, 1, 1, dtype=torch.float64)

MEAN, SD = 0.7, 0.4
FIRST_ANGLE, LAST_ANGLE = 0.05, 1.5
ORDERS = [("ddim", 1), ("adams-bashforth", 2), ("dpm-solver++", 2)]

SCHEDULE = {
    "num_train_timesteps": TIMESTEPS,
    "beta_start": FIRST_BETA,
    "beta_end": LAST_BETA,
    "beta_schedule": "linear",
}
THEIR_NAME = {"noise": "epsilon", "velocity": "v_prediction"}
COUNTS = (1, 2, 10, 14, 15, 100)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers")


def test_a_step_with_the_true_noise_lands_on_the_same_path():
    clean, noise = 0.3 * ONE, -1.2 * ONE
    here, there = math.acos(math.sqrt(0.5)), math.acos(math.sqrt(0.9))
    now = split(math.sqrt(0.5) * clean + math.sqrt(0.5) * noise, noise, here)
    assert now.clean.item() == pytest.approx(0.3)
    assert ddim_step(now, there).item() == pytest.approx(math.sqrt(0.9) * 0.3 - math.sqrt(0.1) * 1.2)


def test_a_step_turns_the_latent_towards_its_velocity():
    """z' = cos(φ' − φ) z + sin(φ' − φ) v: Salimans & Ho 2022, appendix D."""
    now = split(0.8 * ONE, -0.5 * ONE, 0.9)
    velocity = velocity_of(now.clean, now.noise, math.cos(0.9) ** 2)
    turned = math.cos(-0.4) * now.latent + math.sin(-0.4) * velocity
    assert ddim_step(now, 0.5).item() == pytest.approx(turned.item())


def test_a_second_order_step_is_that_of_the_paper():
    """σ/σ_now z − √ᾱ (e^−h − 1) D: Lu et al. 2022, algorithm 2."""
    before, now, there = split(0.7 * ONE, 0.9 * ONE, 1.2), split(0.8 * ONE, -0.5 * ONE, 0.9), 0.5
    step, last_step = log_ratio(there) - log_ratio(0.9), log_ratio(0.9) - log_ratio(1.2)
    ratio = last_step / step
    mixed = (1 + 1 / (2 * ratio)) * now.clean - 1 / (2 * ratio) * before.clean
    expected = math.sin(there) / math.sin(0.9) * now.latent - math.cos(there) * math.expm1(-step) * mixed
    assert ddim_step(extrapolate_clean(now, before, there), there).item() == pytest.approx(expected.item())


def test_the_step_to_the_clean_latent_is_the_predicted_one():
    before, now = split(0.7 * ONE, 0.9 * ONE, 1.2), split(0.8 * ONE, -0.5 * ONE, 0.9)
    assert ddim_step(extrapolate_clean(now, before, 0.0), 0.0).item() == pytest.approx(now.clean.item())


def test_after_the_clean_latent_the_second_step_is_of_first_order():
    before, now = split(0.7 * ONE, 0.9 * ONE, 0.0), split(0.8 * ONE, -0.5 * ONE, 0.3)
    assert ddim_step(extrapolate_clean(now, before, 0.6), 0.6).item() == pytest.approx(ddim_step(now, 0.6).item())


def test_a_prediction_that_stands_still_is_extrapolated_to_itself():
    now = Prediction(ONE, ONE, 0 * ONE, 0.5)
    assert extrapolate(now, now._replace(angle=0.4), 0.7) == now
    ahead = extrapolate(now, now._replace(clean=0 * ONE, angle=0.4), 0.6)
    assert ahead.clean.item() == pytest.approx(1.5)  # +1 per 0.1: half-way to 0.6 is 0.05 further


def test_another_clean_latent_leaves_the_noisy_one_where_it_is():
    other = assume_clean(split(0.8 * ONE, -0.5 * ONE, 0.9), 0.1 * ONE)
    assert (math.cos(0.9) * other.clean + math.sin(0.9) * other.noise).item() == pytest.approx(0.8)


def test_nothing_is_clamped_unless_asked():
    far = 30.0 * ONE
    assert split(far, 0 * ONE, 0.0).clean.item() == pytest.approx(30.0)
    assert clamp(split(far, 0 * ONE, 0.3), 1.0).clean.item() == pytest.approx(1.0)
    assert clamp(split(far, 0 * ONE, 0.0), 1.0).clean.item() == pytest.approx(30.0)  # is clean, not predicted


# The exact path of N(MEAN, SD²) keeps each point's standard score; here the network is asked at any angle.


def spread(angle):
    return math.hypot(math.cos(angle) * SD, math.sin(angle))


def ask_gaussian(latent, angle):
    return split(latent, math.sin(angle) * (latent - math.cos(angle) * MEAN) / spread(angle) ** 2, angle)


def gaussian_point(angle, scores):
    return math.cos(angle) * MEAN + spread(angle) * scores


def even_in_log_ratio(steps):
    """Angles on which each solver shows its order soonest: no step is long in φ or in λ."""
    ratios = np.linspace(log_ratio(FIRST_ANGLE), log_ratio(LAST_ANGLE), steps + 1)
    return [math.atan(math.exp(-ratio)) for ratio in ratios]


@pytest.mark.parametrize("turn", [1, -1], ids=["encode", "decode"])
@pytest.mark.parametrize(("solver", "order"), ORDERS)
def test_error_falls_with_the_solvers_order(solver, order, turn):
    counts, errors = (32, 64, 128, 256), []
    for steps in counts:
        angles = even_in_log_ratio(steps)[::turn]
        reached = integrate(gaussian_point(angles[0], SEVERAL), ask_gaussian, angles, solver=solver)
        errors.append((reached - gaussian_point(angles[-1], SEVERAL)).abs().mean().item())
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert -slope == pytest.approx(order, abs=0.05)


@pytest.mark.parametrize(("solver", "order"), ORDERS)
def test_there_and_back_returns_the_input_but_for_the_order(solver, order):
    start = gaussian_point(FIRST_ANGLE, SEVERAL)
    errors = []
    for steps in (32, 256):
        angles = even_in_log_ratio(steps)
        there = integrate(start, ask_gaussian, angles, solver=solver)
        back = integrate(there, ask_gaussian, angles[::-1], solver=solver)
        errors.append((back - start).abs().mean().item())
    assert errors[1] < errors[0] / (0.9 * 8**order)


# The same samples as `diffusers` 0.42, given its timesteps; what is peculiar to it is matched here alone.
# Its tables are of single precision, ours of double: with double ones there, what remains of 6e-5 is below 1e-12.


@pytest.fixture
def network():
    """Two layers of random weights, the same at every voxel, that read the timestep too."""
    generator = torch.Generator().manual_seed(3)
    inner, bias, outer = (torch.randn(*shape, generator=generator) for shape in ((8, 3), (8, 1, 1, 1), (3, 8)))

    def predict(latent, timestep):
        hidden = torch.tanh(torch.einsum("oc,bcijk->boijk", inner, latent) / 2 + math.sin(timestep / 150) * bias)
        return torch.einsum("oc,bcijk->boijk", outer, hidden) / 3

    return predict


@pytest.fixture
def latent():
    return torch.randn(2, 3, 4, 5, 4, generator=torch.Generator().manual_seed(4))


@pytest.fixture(params=THEIR_NAME)
def predicts(request):
    return request.param


def scheduler_of(scheduler_class, steps, predicts="noise", **options):
    scheduler = scheduler_class(**SCHEDULE, prediction_type=THEIR_NAME[predicts], **options)
    scheduler.set_timesteps(steps)
    return scheduler


def follow(scheduler, latent, network, **options):
    for timestep in scheduler.timesteps:
        output = network(latent, int(timestep))
        latent = scheduler.step(output, timestep, latent, **options).prev_sample
    return latent


def told(network, timesteps):
    """The network, told these timesteps one after the other instead of those where the latent is."""
    remaining = iter(timesteps)

    def predict(latent, _timestep):
        return network(latent, next(remaining))

    return predict


def assert_same(ours, theirs):
    assert ((ours - theirs).norm() / theirs.norm()).item() < 1e-4


@pytest.mark.parametrize("steps", [1, 2, 10, 100, 1000])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_ddim_samples_are_those_of_diffusers(network, latent, predicts, spacing, steps):
    """`set_alpha_to_one` (the default) ends at the clean latent: our spacings as they are."""
    scheduler = scheduler_of(DDIMScheduler, steps, predicts, clip_sample=False, timestep_spacing=spacing)
    path = trajectory(steps, spacing=spacing)
    assert scheduler.timesteps.tolist() == list(path[:0:-1])
    ours = decode_from_noise(latent, network, steps=path, solver="ddim", predicts=predicts)
    assert_same(ours, follow(scheduler, latent, network))


def test_ddim_with_an_offset_and_ended_at_the_first_timestep(network, latent, predicts):
    """`steps_offset` shifts leading timesteps; without `set_alpha_to_one` timestep 0 stands for the clean latent."""
    options = {"clip_sample": False, "steps_offset": 1, "set_alpha_to_one": False}
    scheduler = scheduler_of(DDIMScheduler, 10, predicts, **options)
    path = (0, *(timestep + 1 for timestep in trajectory(10, spacing="leading")[1:]))
    ours = decode_from_noise(latent, network, steps=path, solver="ddim", predicts=predicts)
    assert_same(ours, follow(scheduler, latent, network))


@pytest.mark.parametrize(("spacing", "steps"), [("trailing", 7), ("linspace", 10), ("linspace", 50)])
def test_ddim_of_diffusers_where_its_steps_do_not_meet(network, latent, predicts, spacing, steps):
    """It steps by 1000 // steps wherever its next timestep is: the latent is then taken for one of another noise level.

    Its "trailing" is uneven where steps do not divide 1000 (and at 61 steps, for one, has 62 timesteps: a rounding).
    """
    scheduler = scheduler_of(DDIMScheduler, steps, predicts, clip_sample=False, timestep_spacing=spacing)
    assert scheduler.timesteps.tolist() == list(trajectory(steps, spacing=spacing)[:0:-1])
    ours = latent
    for timestep in scheduler.timesteps.tolist():
        pair = (max(timestep - TIMESTEPS // steps, CLEAN), timestep)
        ours = decode_from_noise(ours, network, steps=pair, solver="ddim", predicts=predicts)
    assert_same(ours, follow(scheduler, latent, network))


def test_clamped_ddim_samples_are_those_of_diffusers(network, latent):
    """With the noise recomputed from the clamped z_0: `use_clipped_model_output`, off by default there."""
    scheduler = scheduler_of(DDIMScheduler, 10, clip_sample=True)
    path = trajectory(10, spacing="leading")
    ours = decode_from_noise(latent, network, steps=path, solver="ddim", limit=1.0)
    assert_same(ours, follow(scheduler, latent, network, use_clipped_model_output=True))
    unlimited = decode_from_noise(latent, network, steps=path, solver="ddim")
    assert not torch.allclose(ours, unlimited, rtol=0.01)


@pytest.mark.parametrize("steps", [2, 10, 100, 1000])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_ddim_noise_is_that_of_diffusers(network, latent, predicts, spacing, steps):
    """It tells the network the timestep that a step goes *to*, of a latent still at the one it comes from.

    Told so, a network is wrong about the noise level by a whole step; we tell it where the latent is. Its timesteps
    have been questioned (huggingface/diffusers, issue 10695), and stand as of 0.42.
    Without `set_alpha_to_one` the clean latent counts as being at timestep 0: a step from there to 0 is none.
    """
    options = {"clip_sample": False, "set_alpha_to_one": False, "timestep_spacing": spacing}
    scheduler = scheduler_of(DDIMInverseScheduler, steps, predicts, **options)
    visited = trajectory(steps, spacing=spacing)[1:]
    assert scheduler.timesteps.tolist() == list(visited)
    path = tuple(dict.fromkeys((0, *visited)))
    ours = encode_to_noise(latent, told(network, path[1:]), steps=path, solver="ddim", predicts=predicts)
    assert_same(ours, follow(scheduler, latent, network))


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_ddim_noise_from_the_clean_latent_is_that_of_diffusers(network, latent, spacing):
    """With `set_alpha_to_one` (the default) the first step starts at ᾱ = 1.

    For noise alone: it reads a velocity at ᾱ = 1 though the network was told another timestep; we, at the one told.
    """
    scheduler = scheduler_of(DDIMInverseScheduler, 10, clip_sample=False, timestep_spacing=spacing)
    path = trajectory(10, spacing=spacing)
    ours = encode_to_noise(latent, told(network, path[1:]), steps=path, solver="ddim")
    assert_same(ours, follow(scheduler, latent, network))


def ours_by_dpm_solver(sample, latent, network, visited, predicts, *, first_order_last):
    """Follow timesteps in the order of the visit; the last step, if asked, by plain DDIM."""
    split_at = len(visited) - 1 if first_order_last else len(visited)
    for part, solver in ((visited[:split_at], "dpm-solver++"), (visited[split_at - 1 :], "ddim")):
        if len(part) > 1:
            latent = sample(latent, network, steps=tuple(sorted(part)), solver=solver, predicts=predicts)
    return latent


@pytest.mark.parametrize("steps", COUNTS)
@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
@pytest.mark.parametrize("final", ["zero", "sigma_min"])
def test_dpm_solver_samples_are_those_of_diffusers(network, latent, predicts, final, spacing, steps):
    """`final_sigmas_type` "zero" (the default) ends at the clean latent, "sigma_min" at timestep 0.

    With `lower_order_final` (the default) the last of fewer than 15 steps is of first order; to the clean latent it is
    so for both of us. Its "linspace" and "leading" leave out the first of steps + 1 timesteps: neither is ours.
    """
    options = {"final_sigmas_type": final, "timestep_spacing": spacing}
    scheduler = scheduler_of(DPMSolverMultistepScheduler, steps, predicts, **options)
    visited = (*scheduler.timesteps.tolist(), {"zero": CLEAN, "sigma_min": 0}[final])
    stabilised = final == "sigma_min" and steps < 15
    ours = ours_by_dpm_solver(decode_from_noise, latent, network, visited, predicts, first_order_last=stabilised)
    assert_same(ours, follow(scheduler, latent, network))


@pytest.mark.parametrize("steps", COUNTS)
@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
def test_dpm_solver_noise_is_that_of_diffusers(network, latent, predicts, spacing, steps):
    """It takes the clean latent for one at its first timestep, and appends the last timestep as its aim.

    With "trailing" the first timestep is far from clean (99 of 10 steps) and the last one is its own aim, a step of no
    length; with "leading" the last step is longer than the others. The last of fewer than 15 is again of first order.
    """
    scheduler = scheduler_of(DPMSolverMultistepInverseScheduler, steps, predicts, timestep_spacing=spacing)
    visited = tuple(dict.fromkeys((*scheduler.timesteps.tolist(), TIMESTEPS - 1)))
    stabilised = spacing != "trailing" and steps < 15
    ours = ours_by_dpm_solver(encode_to_noise, latent, network, visited, predicts, first_order_last=stabilised)
    assert_same(ours, follow(scheduler, latent, network))


@pytest.mark.parametrize("final", ["zero", "sigma_min"])
def test_few_steps_of_second_order_throughout_are_those_of_diffusers(network, latent, predicts, final):
    options = {"final_sigmas_type": final, "lower_order_final": False}
    scheduler = scheduler_of(DPMSolverMultistepScheduler, 10, predicts, **options)
    path = ({"zero": CLEAN, "sigma_min": 0}[final], *reversed(scheduler.timesteps.tolist()))
    ours = decode_from_noise(latent, network, steps=path, solver="dpm-solver++", predicts=predicts)
    assert_same(ours, follow(scheduler, latent, network))


def test_a_few_steps_to_noise_of_second_order_throughout_are_those_of_diffusers(network, latent, predicts):
    scheduler = scheduler_of(DPMSolverMultistepInverseScheduler, 10, predicts, lower_order_final=False)
    path = (*scheduler.timesteps.tolist(), TIMESTEPS - 1)
    ours = encode_to_noise(latent, network, steps=path, solver="dpm-solver++", predicts=predicts)
    assert_same(ours, follow(scheduler, latent, network))
