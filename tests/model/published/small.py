"""The paper's networks made small, and what files of them hold."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import Preset, StageLength
from neurolatent.model.published.importing import PublishedFiles
from neurolatent.model.published.layout import State

CPU = torch.device("cpu")
LENGTH = StageLength(steps=3, batch=2, learning_rate=1e-3, ema_decay=0.9)
SMALL = Preset(
    name="paper", spacing_mm=6.0, grid_shape=(32, 40, 32), latent_channels=3, code_size=16,
    vae_widths=(32, 32, 32), denoiser_widths=(32, 64), semantic_widths=(4, 6, 8, 16),
    kl_weight=1e-7, edge_weight=0.0, latent_variants=1, mixed_precision=False,
    vae=LENGTH, denoiser=LENGTH, autoencoder=LENGTH,
    construction="published", view="paper", sampling_steps=4, solver="ddim", spacing="published",
)  # fmt: skip
STEM = "input_blocks.0.0.bias"
NAMES = ("vae", "semantic_encoder", "decoder")
States = dict[str, State]
Write = Callable[..., PublishedFiles]
Save = Callable[[State, Path], None]


def prefixed(state: Mapping[str, torch.Tensor], prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


def other(state: Mapping[str, torch.Tensor]) -> State:
    return {key: value + 1 for key, value in state.items()}


def assert_same(loaded: LatentDiffusionAutoencoder, model: LatentDiffusionAutoencoder, **tolerance: float) -> None:
    expected = model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    for key, value in loaded.state_dict().items():
        torch.testing.assert_close(value, expected[key], **(tolerance or {"rtol": 0, "atol": 0}))
