"""What the published U-Net must keep: one way down, a frozen denoiser, a silent start."""

import pytest
import torch
from torch import nn

from neurolatent.model.noise import gather_signal, shift_noise
from neurolatent.model.published.diffusion import predictor, representation_loss
from neurolatent.model.published.layers import AttentionBlock, change_extent
from neurolatent.model.published.sizes import UNetSizes
from neurolatent.model.published.unet import Decoder, Denoiser, Step
from neurolatent.shapes import Latent

SIZES = UNetSizes(base=32, multipliers=(1, 2), blocks=1, attention=(2,), latent_channels=4, code_size=6)


def stir(network: nn.Module) -> None:
    """Give every parameter a value, so that no layer is silent."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.fixture
def noisy() -> Latent:
    return torch.randn(2, 4, 3, 6, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def decoder() -> Decoder:
    network = Decoder(SIZES)
    stir(network)
    return network


def test_untrained_networks_say_nothing(noisy: Latent):
    timestep = torch.tensor([3, 900])
    assert not Denoiser(SIZES)(noisy, timestep).any()
    step: Step = Decoder(SIZES)(noisy, timestep, torch.randn(2, 6))
    assert not step.noise.any()
    assert not step.gradient.any()


def test_first_axis_keeps_its_extent(decoder: Decoder, noisy: Latent):
    down = decoder.descend(noisy, torch.tensor([3, 900]))
    assert [skip.shape[2:] for skip in down.skips] == [(3, 6, 4), (3, 6, 4), (3, 3, 2), (3, 3, 2)]


def test_halving_takes_the_mean_of_four_and_doubling_repeats():
    plane = torch.arange(8.0).reshape(1, 1, 1, 2, 4)
    assert change_extent(plane, "down").flatten().tolist() == [2.5, 4.5]
    enlarged = change_extent(torch.tensor([1.0, 2.0]).reshape(1, 1, 1, 1, 2), "up")
    assert enlarged[0, 0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


def test_places_attend_by_softmax_of_scaled_products():
    block = AttentionBlock(32)
    stir(block)
    feature = torch.randn(1, 32, 2, 3, 2, generator=torch.Generator().manual_seed(2))
    query, key, value = block.qkv(block.norm(feature).flatten(2)).chunk(3, dim=1)
    shares = (query.transpose(1, 2) @ key / 32**0.5).softmax(2)
    expected = feature.flatten(2) + block.proj_out(value @ shares.transpose(1, 2))
    torch.testing.assert_close(block(feature).flatten(2), expected)


def test_decoder_goes_down_once_a_step(decoder: Decoder, noisy: Latent):
    passes: list[str] = []

    def count(_network: nn.Module, _inputs: object, _output: object) -> None:
        passes.append("down")

    decoder.input_blocks[0].register_forward_hook(count)
    decoder(noisy, torch.tensor([3, 900]), torch.randn(2, 6))
    assert passes == ["down"]


def test_decoder_speaks_as_the_denoiser_that_it_adopted(decoder: Decoder, noisy: Latent):
    denoiser, timestep = Denoiser(SIZES).eval(), torch.tensor([3, 900])
    stir(denoiser)
    decoder.eval().adopt(denoiser)
    step: Step = decoder(noisy, timestep, torch.randn(2, 6))
    torch.testing.assert_close(step.noise, denoiser(noisy, timestep))


def test_training_moves_the_gradient_estimator_alone(decoder: Decoder, noisy: Latent):
    timestep = torch.tensor([3, 900])
    step: Step = decoder.train()(noisy, timestep, torch.randn(2, 6))
    representation_loss(step, torch.randn(noisy.shape), timestep).mean().backward()
    moved = {name.partition(".")[0] for name, value in decoder.named_parameters() if value.grad is not None}
    assert moved == {"label_emb", "shift_middle_block", "shift_output_blocks", "shift_out"}


def test_frozen_denoiser_drops_nothing_out_in_training(decoder: Decoder, noisy: Latent):
    timestep, code = torch.tensor([3, 900]), torch.randn(2, 6)
    decoder.train()
    first, second = decoder(noisy, timestep, code), decoder(noisy, timestep, code)
    torch.testing.assert_close(first.noise, second.noise, rtol=0, atol=0)
    assert (first.gradient - second.gradient).abs().max() > 1e-3


def test_code_moves_the_gradient_and_not_the_noise(decoder: Decoder, noisy: Latent):
    timestep = torch.tensor([3, 900])
    one, other = (decoder.eval()(noisy, timestep, code) for code in (torch.zeros(2, 6), torch.ones(2, 6)))
    torch.testing.assert_close(one.noise, other.noise, rtol=0, atol=0)
    assert (one.gradient - other.gradient).abs().max() > 1e-3


def test_sampling_shifts_by_the_whole_noise_level(decoder: Decoder, noisy: Latent):
    timestep, code = torch.tensor([640, 640]), torch.randn(2, 6)
    step: Step = decoder.eval()(noisy, timestep, code)
    expected = shift_noise(step.noise, step.gradient, gather_signal(timestep))
    torch.testing.assert_close(predictor(decoder, code)(noisy, 640), expected)
