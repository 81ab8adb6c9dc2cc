"""The published VAE is MONAI's, under either of its two namings."""

import pytest
import torch
from monai.networks.nets.autoencoderkl import AutoencoderKL

from neurolatent.model.published.sizes import VAESizes
from neurolatent.model.published.vae import VAE, rename_keys
from neurolatent.shapes import Volume

SIZES = VAESizes(widths=(32, 32, 64), blocks=1, latent_channels=2)


@pytest.fixture
def monai_network() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        spatial_dims=3,
        num_res_blocks=SIZES.blocks,
        channels=SIZES.widths,
        attention_levels=(False, False, False),
        latent_channels=SIZES.latent_channels,
        with_encoder_nonlocal_attn=False,
        with_decoder_nonlocal_attn=False,
    )


@pytest.fixture
def volume() -> Volume:
    return torch.rand(1, 1, 8, 12, 8, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_weights_of_todays_monai_load_and_mean_the_same(monai_network: AutoencoderKL, volume: Volume):
    vae = VAE(SIZES)
    vae.load_state_dict(rename_keys(monai_network.state_dict()))
    mean, sd = monai_network.encode(volume)
    posterior = vae.encode(volume)
    torch.testing.assert_close(posterior.mean, mean)
    torch.testing.assert_close((posterior.log_variance / 2).exp(), sd)
    torch.testing.assert_close(vae.decode(mean), monai_network.decode(mean))


def test_names_of_monai_generative_are_the_published_ones_and_stay(monai_network: AutoencoderKL):
    state = VAE(SIZES).state_dict()
    assert set(rename_keys(state)) == set(state)
    renamed = {key for key in monai_network.state_dict() if key not in state}
    assert renamed == {
        f"decoder.blocks.{block}.postconv.conv.{part}" for block in (2, 4) for part in ("weight", "bias")
    }
    monai_network.load_old_state_dict(state)


def test_latent_is_smaller_by_two_a_level(volume: Volume):
    vae = VAE(SIZES)
    posterior = vae.encode(volume)
    assert posterior.mean.shape == posterior.log_variance.shape == (1, 2, 2, 3, 2)
    assert vae.decode(posterior.mean).shape == volume.shape
