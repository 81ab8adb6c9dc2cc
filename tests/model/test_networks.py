"""What the networks must keep: extents, identities at the start, and what depends on what."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.blocks import depth_to_space, embed_time, space_to_depth
from neurolatent.model.denoiser import Denoiser
from neurolatent.model.gradient import GradientEstimator
from neurolatent.model.noise import gather_signal
from neurolatent.model.presets import PRESETS
from neurolatent.model.semantic import SemanticEncoder
from neurolatent.model.vae import VAE
from neurolatent.model.weights import part_state

TINY = PRESETS["tiny"]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return LatentDiffusionAutoencoder(TINY).eval()


@pytest.fixture
def volume():
    return torch.rand(3, 1, *TINY.grid_shape, generator=torch.Generator().manual_seed(2))


def test_depth_to_space_undoes_space_to_depth():
    volume = torch.arange(2 * 3 * 4 * 6 * 8.0).reshape(2, 3, 4, 6, 8)
    folded = space_to_depth(volume)
    assert folded.shape == (2, 24, 2, 3, 4)
    torch.testing.assert_close(depth_to_space(folded), volume)
    assert set(folded[0, :8, 0, 0, 0].tolist()) == set(volume[0, 0, :2, :2, :2].flatten().tolist())


def test_time_embedding_starts_with_cosines():
    at_zero = embed_time(torch.tensor([0]), 8)
    assert at_zero[0].tolist() == [1.0] * 4 + [0.0] * 4


@pytest.mark.parametrize("extents", [(12, 15, 12), (6, 8, 6), (5, 7, 9)])
def test_denoiser_and_gradient_keep_odd_extents(extents):
    denoiser = Denoiser(widths=(8, 16, 16), latent_channels=4)
    gradient = GradientEstimator(widths=(8, 16, 16), latent_channels=4, code_size=6, latent_shape=extents)
    noisy, timestep = torch.randn(2, 4, *extents), torch.tensor([3, 900])
    assert denoiser(noisy, timestep).shape == noisy.shape
    down = denoiser.descend(noisy, timestep)
    assert gradient(down, timestep, torch.randn(2, 6)).shape == noisy.shape


@pytest.mark.parametrize("extents", [(24, 32, 24), (48, 60, 48)])
def test_vae_reduces_by_four_and_returns(extents):
    vae = VAE(widths=(8, 16), latent_channels=3)
    posterior = vae.encode(torch.rand(1, 1, *extents))
    assert posterior.mean.shape == (1, 3, *(n // 4 for n in extents))
    assert vae.decode(posterior.mean).shape == (1, 1, *extents)


def test_untrained_denoiser_is_exact_for_white_noise():
    denoiser = Denoiser(widths=(8, 16), latent_channels=4)
    noisy, timestep = torch.randn(2, 4, 6, 8, 6), torch.tensor([10, 800])
    expected = (1 - gather_signal(timestep)).sqrt() * noisy
    torch.testing.assert_close(denoiser(noisy, timestep), expected)


def test_untrained_gradient_changes_nothing(model):
    noisy, timestep = torch.randn(2, 4, *TINY.latent_shape), torch.tensor([0, 999])
    with torch.no_grad():
        given = model.predict_noise(noisy, timestep, torch.randn(2, TINY.code_size))
        torch.testing.assert_close(given, model.denoiser(noisy, timestep))


def test_untrained_model_takes_every_latent_for_white_noise(model):
    """The exact path of white noise stands still: z_T is z_0, and so is what comes back."""
    clean, code = model.draw_noise(2, seed=0), torch.zeros(2, TINY.code_size)
    inferred = model.encode_stochastic(clean, code, steps=100)
    torch.testing.assert_close(inferred, clean, rtol=0.01, atol=1e-3)
    torch.testing.assert_close(model.decode(code, inferred, steps=100), clean, rtol=0.01, atol=1e-3)


def test_code_depends_on_where_in_the_brain_something_is():
    torch.manual_seed(0)
    encoder = SemanticEncoder(widths=(8, 16), code_size=8, latent_channels=1, latent_shape=(6, 8, 6)).eval()
    front, back = torch.zeros(2, 1, 1, 6, 8, 6)
    front[0, 0, 2:4, 5:7, 2:4], back[0, 0, 2:4, 1:3, 2:4] = 1, 1
    assert (encoder(front) - encoder(back)).abs().max() > 0.01


def test_each_scan_of_a_batch_is_treated_alone(model, volume):
    code, latent = model.encode_semantic(volume), model.compress(volume)
    torch.testing.assert_close(model.encode_semantic(volume[1:2]), code[1:2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.compress(volume[1:2]), latent[1:2], rtol=1e-4, atol=1e-5)


def test_latents_outside_the_support_are_zero_and_inside_are_scaled(model, volume):
    raw = model.vae.encode(volume).mean
    model.scaling.mean.fill_(0.5)
    model.scaling.scale.fill_(2.0)
    model.scaling.support[:, :3] = 0
    latent = model.compress(volume)
    assert (latent[:, :, :3] == 0).all()
    torch.testing.assert_close(latent[:, :, 3:], 2 * (raw[:, :, 3:] - 0.5))
    assert (model.draw_noise(2, seed=1)[:, :, :3] == 0).all()


def test_decompress_undoes_the_scaling_and_stays_in_0_1(model, volume):
    model.scaling.scale.fill_(3.0)
    expected = model.vae.decode(model.vae.encode(volume).mean).clamp(0, 1)
    decoded = model.decompress(model.compress(volume))
    torch.testing.assert_close(decoded, expected, rtol=1e-4, atol=1e-5)
    assert decoded.min() >= 0
    assert decoded.max() <= 1


def test_noise_drawn_twice_with_one_seed_is_the_same(model):
    torch.testing.assert_close(model.draw_noise(3, seed=4), model.draw_noise(3, seed=4))
    assert not torch.equal(model.draw_noise(3, seed=4), model.draw_noise(3, seed=5))


def test_noise_statistics_tell_white_noise_from_smooth(model):
    model.scaling.support[:, :2] = 0
    white = 2 * model.draw_noise(50, seed=0)
    smooth = torch.nn.functional.avg_pool3d(white, 3, stride=1, padding=1)
    of_white, of_smooth = model.noise_statistics(white), model.noise_statistics(smooth)
    assert of_white.mean == pytest.approx(0, abs=0.02)
    assert of_white.sd == pytest.approx(2, abs=0.02)
    assert of_white.neighbour_autocorrelation == pytest.approx(0, abs=0.02)
    assert of_smooth.neighbour_autocorrelation > 0.4


def test_demo_weights_stay_below_20_megabytes_in_half_precision():
    with torch.device("meta"):
        demo = LatentDiffusionAutoencoder(PRESETS["demo"])
    numbers = sum(
        tensor.numel() for part in ("vae", "denoiser", "autoencoder") for tensor in part_state(demo, part).values()
    )
    assert numbers * 2 < 20e6


def test_semantic_encoder_costs_no_more_than_the_denoiser():
    preset = PRESETS["demo"]
    with torch.device("meta"):
        demo = LatentDiffusionAutoencoder(preset)
        noisy = torch.zeros(1, 4, *preset.latent_shape)
        timestep = torch.zeros(1, dtype=torch.long)
    costs = []
    for run in (lambda: demo.semantic(noisy), lambda: demo.denoiser(noisy, timestep)):
        with FlopCounterMode(display=False) as counter:
            run()
        costs.append(counter.get_total_flops())
    assert costs[0] <= costs[1]


def test_codes_of_different_people_differ():
    """A code read from the scan itself hardly did: what all people share outweighed what tells them apart."""
    torch.manual_seed(0)
    model = LatentDiffusionAutoencoder(TINY)
    shared = torch.rand(1, 4, *TINY.latent_shape)
    codes = model.semantic(torch.randn(6, 4, *TINY.latent_shape))
    assert codes.std(0).mean() > 0.1 * codes.abs().mean()
    assert (model.semantic(shared) - codes).abs().max() > 0.1


def test_gradient_can_place_a_code_in_one_step():
    """The field answers to the code at once, where it is; scales and shifts of channels would need the whole way up."""
    torch.manual_seed(0)
    model = LatentDiffusionAutoencoder(TINY)
    code, target = torch.randn(8, TINY.code_size), torch.randn(8, 4, *TINY.latent_shape)
    noisy, timestep = torch.randn_like(target), torch.full((8,), 900)
    down = model.denoiser.descend(noisy, timestep)
    error = ((model.gradient(down, timestep, code) - target) ** 2).mean()
    error.backward()
    gradient = model.gradient.field.weight.grad
    assert gradient is not None
    assert gradient.unflatten(0, model.gradient.field_shape).abs().sum(-1).min() > 0
