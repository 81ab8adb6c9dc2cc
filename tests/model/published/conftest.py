"""Small published networks, and files of them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import PRESETS
from neurolatent.model.published.importing import PublishedFiles
from neurolatent.model.published.layout import double_backbone, join_decoder
from tests.model.published.small import NAMES, SMALL, States, Write


@pytest.fixture
def small_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's networks, made small."""
    monkeypatch.setitem(PRESETS, "paper", SMALL)


@pytest.fixture(scope="module")
def model() -> LatentDiffusionAutoencoder:
    torch.manual_seed(0)
    model = LatentDiffusionAutoencoder(SMALL).eval().requires_grad_(requires_grad=False)
    for parameter in model.parameters():
        parameter.copy_(0.1 * torch.randn(parameter.shape))
    model.scaling.scale.fill_(0.8730)
    return model


@pytest.fixture
def states(model: LatentDiffusionAutoencoder) -> States:
    """What the published files hold."""
    denoiser = model.denoiser.state_dict()
    found = {
        "vae": model.vae.state_dict(),
        "semantic_encoder": double_backbone(model.semantic.state_dict()),
        "decoder": join_decoder(denoiser, model.gradient.state_dict()),
    }
    return {name: {key: value.clone() for key, value in state.items()} for name, state in found.items()}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write published files."""

    def write_files(states: Mapping[str, object], save: Callable[..., object] = torch.save, suffix: str = ".ckpt"):
        paths = {name: tmp_path / f"{name}{suffix}" for name in (*states, *NAMES)}
        for name, state in states.items():
            save(state, paths[name])
        return PublishedFiles(**paths)

    return write_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "model" / "paper"
