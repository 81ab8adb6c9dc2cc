"""Small networks of the published construction return what the published program returned for the same weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from neurolatent.model.noise import add_noise, gather_signal, published_shifts, published_weight, signal_fractions
from neurolatent.model.published.sizes import UNetSizes, VAESizes
from neurolatent.model.published.unet import Denoiser
from neurolatent.model.published.vae import VAE
from neurolatent.model.sampler import decode_from_noise, encode_to_noise, trajectory
from neurolatent.training.losses import noise_error
from neurolatent.training.objectives import OBJECTIVES
from tests.model.published.pair import Pair, read_pair

pytestmark = pytest.mark.data
SMALL = UNetSizes(base=32, multipliers=(1, 2), blocks=1, attention=(2,), code_size=48)
SMALL_VAE = VAESizes(widths=(32, 32, 32, 32), blocks=1)
PATH = trajectory(10, spacing="published")
LIMIT = 1.0
"""Where the published program clamps the predicted z_0: inside unit variance, so that it clips what it should keep."""
Golden = dict[str, Tensor]


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def read(folder: Path, name: str) -> Golden:
    tensors = load_file(folder / "ldae-golden" / f"golden_{name}.safetensors")
    return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> Golden:
    return read(shared_data, "tensors")


@pytest.fixture(scope="module")
def denoiser(shared_data: Path) -> Denoiser:
    network = Denoiser(SMALL)
    network.load_state_dict(read(shared_data, "denoiser_weights"))
    return network.eval()


@pytest.fixture(scope="module")
def decoder(shared_data: Path) -> Pair:
    return read_pair(SMALL, read(shared_data, "decoder_weights"))


@pytest.fixture(scope="module")
def vae(shared_data: Path) -> VAE:
    network = VAE(SMALL_VAE)
    network.load_state_dict(read(shared_data, "vae_weights"))
    return network.eval()


@torch.no_grad()
def test_denoiser(denoiser: Denoiser, golden: Golden):
    assert relative_error(denoiser(golden["x"], golden["t"]), golden["denoiser_eps"]) < 1e-4


@torch.no_grad()
def test_decoder_says_noise_and_gradient_at_once(decoder: Pair, golden: Golden):
    noise, gradient = decoder.parts(golden["x"], golden["t"], golden["code"])
    assert relative_error(noise, golden["decoder_eps"]) < 1e-4
    assert relative_error(gradient, golden["decoder_gradient"]) < 1e-4


@torch.no_grad()
def test_vae(vae: VAE, golden: Golden):
    posterior = vae.encode(golden["vae_x"])
    assert relative_error(posterior.mean, golden["vae_mu"]) < 1e-4
    assert relative_error((posterior.log_variance / 2).exp(), golden["vae_sigma"]) < 1e-4
    assert relative_error(vae.decode(golden["vae_mu"]), golden["vae_recon"]) < 1e-4


def test_schedule(golden: Golden):
    signal = signal_fractions()
    assert relative_error(signal, golden["schedule_alphas_cumprod"]) < 1e-6
    assert relative_error(published_shifts(), golden["schedule_shift_coef"]) < 1e-6
    weight = published_weight(signal[:, None, None, None, None].float()).flatten()
    assert relative_error(weight, golden["schedule_loss_weight"]) < 1e-6


def test_noising(golden: Golden):
    noisy = add_noise(golden["z0"], golden["loss_noise"], gather_signal(golden["t"]))
    assert relative_error(noisy, golden["q_sample"]) < 1e-6


@torch.no_grad()
def test_representation_loss(decoder: Pair, golden: Golden):
    timestep, objective = golden["t"], OBJECTIVES["published"]
    noise, gradient = decoder.parts(golden["q_sample"], timestep, golden["code"])
    loss = noise_error(
        golden["loss_noise"],
        noise + objective.shift(timestep) * gradient,
        weight=objective.autoencoder_weight(gather_signal(timestep)),
        support=torch.ones(1, *noise.shape[2:]),
    )
    assert relative_error(loss.mean(), golden["representation_loss"]) < 1e-4


def test_ten_steps_visit_the_published_timesteps(golden: Golden):
    path = list(PATH)
    assert path == golden["ddim10_timestep_map"].tolist()
    assert relative_error((1 - signal_fractions()[path]).sqrt(), golden["ddim10_sqrt_one_minus_alphas_cumprod"]) < 1e-6


@torch.no_grad()
def test_ten_steps_to_noise_and_back_with_the_clamp(decoder: Pair, golden: Golden):
    predict = decoder.predictor(golden["code"])
    noise = encode_to_noise(golden["z0"], predict, steps=PATH, solver="ddim", limit=LIMIT)
    assert relative_error(noise, golden["ddim10_encoded_noise"]) < 1e-3
    clean = decode_from_noise(golden["ddim10_encoded_noise"], predict, steps=PATH, solver="ddim", limit=LIMIT)
    assert relative_error(clean, golden["ddim10_decoded"]) < 1e-3


@torch.no_grad()
def test_without_the_clamp_both_ways_lead_elsewhere(decoder: Pair, golden: Golden):
    predict = decoder.predictor(golden["code"])
    noise = encode_to_noise(golden["z0"], predict, steps=PATH, solver="ddim")
    assert relative_error(noise, golden["ddim10_encoded_noise"]) > 0.5
    clean = decode_from_noise(golden["ddim10_encoded_noise"], predict, steps=PATH, solver="ddim")
    assert relative_error(clean, golden["ddim10_decoded"]) > 0.5
