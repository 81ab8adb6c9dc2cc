"""The published VAE: MONAI's AutoencoderKL without attention, under the key names of the published weights."""

from collections.abc import Mapping
from math import gcd

from torch import Tensor, nn
from torch.nn import functional

from neurolatent.model.blocks import Feature, full_precision
from neurolatent.model.published.layers import GROUPS
from neurolatent.model.published.sizes import VAESizes
from neurolatent.model.vae import LOG_VARIANCE_LIMITS, Compressed, Posterior
from neurolatent.shapes import Volume


class Enlarge(nn.Module):
    """Double every extent by repeating, then convolve."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, feature: Feature) -> Feature:
        """Return the enlarged feature."""
        return self.conv(functional.interpolate(feature, scale_factor=2.0, mode="nearest"))


class VAE(nn.Module):
    """Encoder and decoder; the published latent is eight times smaller along each axis."""

    def __init__(self, sizes: VAESizes) -> None:
        super().__init__()
        from monai.networks.nets.autoencoderkl import AutoencoderKL

        network = AutoencoderKL(
            spatial_dims=3,
            num_res_blocks=sizes.blocks,
            channels=sizes.widths,
            attention_levels=[False] * len(sizes.widths),
            latent_channels=sizes.latent_channels,
            norm_num_groups=gcd(GROUPS, *sizes.widths),
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
        )
        self.encoder = network.encoder
        self.decoder = _with_published_names(network.decoder)
        self.quant_conv_mu = network.quant_conv_mu
        self.quant_conv_log_sigma = network.quant_conv_log_sigma
        self.post_quant_conv = network.post_quant_conv

    def encode(self, volume: Volume) -> Posterior:
        """Return the Gaussian over latents, in float32."""
        feature = self.encoder(volume)
        log_variance = full_precision(self.quant_conv_log_sigma(feature))
        return Posterior(full_precision(self.quant_conv_mu(feature)), log_variance.clamp(*LOG_VARIANCE_LIMITS))

    def decode(self, latent: Compressed) -> Volume:
        """Return intensities, not yet limited to [0, 1]."""
        return full_precision(self.decoder(self.post_quant_conv(latent)))


def rename_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn the names of MONAI ≥ 1.4 into the published ones, which are those of MONAI Generative; keep these."""
    return {key.replace(".postconv.", ".conv."): value for key, value in state.items()}


def _with_published_names(decoder: nn.Module) -> nn.Module:
    blocks = decoder.get_submodule("blocks")
    for name, block in list(blocks.named_children()):
        convolution = dict(block.named_children()).get("postconv")
        if convolution is not None:
            setattr(blocks, name, Enlarge(convolution))
    return decoder
