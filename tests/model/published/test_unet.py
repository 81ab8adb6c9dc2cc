"""What the published U-Net must keep: one way down, a frozen denoiser, a silent start."""

import pytest
import torch
from torch import nn

from neurolatent.model.noise import gather_signal, shift_noise
from neurolatent.model.published.layers import AttentionBlock, change_extent
from neurolatent.model.published.sizes import UNetSizes
from neurolatent.shapes import Latent
from tests.model.published.pair import Pair, untrained

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
def decoder() -> Pair:
    pair = untrained(SIZES)
    for network in pair:
        stir(network)
        network.eval()
    return pair


def test_untrained_networks_say_nothing(noisy: Latent):
    for said in untrained(SIZES).parts(noisy, torch.tensor([3, 900]), torch.randn(2, 6)):
        assert not said.any()


def test_first_axis_keeps_its_extent(decoder: Pair, noisy: Latent):
    down = decoder.denoiser.descend(noisy, torch.tensor([3, 900]))
    assert [skip.shape[2:] for skip in down.skips] == [(3, 6, 4), (3, 6, 4), (3, 3, 2), (3, 3, 2)]


def test_halving_takes_the_mean_of_four_and_doubling_repeats():
    plane = torch.arange(8.0).reshape(1, 1, 1, 2, 4)
    assert change_extent(plane, "down").flatten().tolist() == [2.5, 4.5]
    enlarged = change_extent(torch.tensor([1.0, 2.0]).reshape(1, 1, 1, 1, 2), "up")
    assert enlarged[0, 0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


def test_odd_extents_come_back_as_they_were(decoder: Pair):
    noisy = torch.randn(2, 4, 3, 5, 7, generator=torch.Generator().manual_seed(1))
    for said in decoder.parts(noisy, torch.tensor([3, 900]), torch.randn(2, 6)):
        assert said.shape == noisy.shape
    assert torch.equal(
        change_extent(torch.arange(6.0).reshape(1, 1, 1, 2, 3), "down").flatten(), torch.tensor([2.0, 3.5])
    )


def test_places_attend_by_softmax_of_scaled_products():
    block = AttentionBlock(32)
    stir(block)
    feature = torch.randn(1, 32, 2, 3, 2, generator=torch.Generator().manual_seed(2))
    query, key, value = block.qkv(block.norm(feature).flatten(2)).chunk(3, dim=1)
    shares = (query.transpose(1, 2) @ key / 32**0.5).softmax(2)
    expected = feature.flatten(2) + block.proj_out(value @ shares.transpose(1, 2))
    torch.testing.assert_close(block(feature).flatten(2), expected)


def test_the_denoiser_says_the_same_by_itself(decoder: Pair, noisy: Latent):
    timestep = torch.tensor([3, 900])
    torch.testing.assert_close(decoder.denoiser(noisy, timestep), decoder.parts(noisy, timestep, torch.randn(2, 6))[0])


def test_code_moves_the_gradient_and_not_the_noise(decoder: Pair, noisy: Latent):
    timestep = torch.tensor([3, 900])
    one, other = (decoder.parts(noisy, timestep, code) for code in (torch.zeros(2, 6), torch.ones(2, 6)))
    torch.testing.assert_close(one[0], other[0], rtol=0, atol=0)
    assert (one[1] - other[1]).abs().max() > 1e-3


def test_sampling_shifts_by_the_whole_noise_level(decoder: Pair, noisy: Latent):
    timestep, code = torch.tensor([640, 640]), torch.randn(2, 6)
    expected = shift_noise(*decoder.parts(noisy, timestep, code), gather_signal(timestep))
    torch.testing.assert_close(decoder.predictor(code)(noisy, 640), expected)
