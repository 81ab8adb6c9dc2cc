"""How the networks of a preset are built: ours, or those of the paper. All else works with either."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from neurolatent.model.denoiser import Denoiser
from neurolatent.model.gradient import GradientEstimator
from neurolatent.model.presets import Construction, Preset
from neurolatent.model.published import semantic as published_semantic
from neurolatent.model.published import unet as published_unet
from neurolatent.model.published import vae as published_vae
from neurolatent.model.published.sizes import SemanticSizes, UNetSizes, VAESizes
from neurolatent.model.semantic import SemanticEncoder
from neurolatent.model.uncompressed import Uncompressed
from neurolatent.model.vae import VAE


class Networks(NamedTuple):
    """The four networks of a latent diffusion autoencoder."""

    vae: VAE | published_vae.VAE | Uncompressed
    denoiser: Denoiser | published_unet.Denoiser
    semantic: SemanticEncoder | published_semantic.SemanticEncoder
    gradient: GradientEstimator | published_unet.GradientEstimator


def build_networks(preset: Preset) -> Networks:
    """Build the untrained networks of a preset."""
    return BUILDERS[preset.construction](preset)


def _compact(preset: Preset) -> Networks:
    channels, widths, shape = preset.latent_channels, preset.denoiser_widths, preset.latent_shape
    return Networks(
        vae=VAE(widths=preset.vae_widths, latent_channels=channels),
        denoiser=Denoiser(widths=widths, latent_channels=channels),
        semantic=SemanticEncoder(
            widths=preset.semantic_widths, code_size=preset.code_size, latent_channels=channels, latent_shape=shape
        ),
        gradient=GradientEstimator(
            widths=widths, latent_channels=channels, code_size=preset.code_size, latent_shape=shape
        ),
    )


def _published(preset: Preset) -> Networks:
    base = preset.denoiser_widths[0]
    unet = UNetSizes(
        base=base,
        multipliers=tuple(width // base for width in preset.denoiser_widths),
        latent_channels=preset.latent_channels,
        code_size=preset.code_size,
        attention=preset.attention,
    )
    sizes = VAESizes(widths=preset.vae_widths, latent_channels=preset.latent_channels)
    return Networks(
        vae=published_vae.VAE(sizes) if preset.vae_widths else Uncompressed(),
        denoiser=published_unet.Denoiser(unet),
        semantic=published_semantic.SemanticEncoder(
            SemanticSizes(widths=preset.semantic_widths, slices=preset.grid_shape[2])
        ),
        gradient=published_unet.GradientEstimator(unet),
    )


BUILDERS: Mapping[Construction, Callable[[Preset], Networks]] = {"compact": _compact, "published": _published}
