"""At the published sizes, networks have the published parameters, names, shapes and cost; nothing is computed."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import find_preset
from neurolatent.model.published.layout import double_backbone, join_decoder
from neurolatent.model.published.sizes import UNetSizes, plan_down, plan_up

PAPER = find_preset("paper")


@pytest.fixture(scope="module")
def paper() -> LatentDiffusionAutoencoder:
    with torch.device("meta"):
        return LatentDiffusionAutoencoder(PAPER)


@pytest.mark.parametrize(
    ("name", "millions"),
    [("vae", 13.766), ("denoiser", 486.93), ("decoder", 865.34), ("semantic_encoder", 53.59)],
)
def test_parameters(paper: LatentDiffusionAutoencoder, name: str, millions: float):
    parts = {
        "vae": [paper.vae],
        "denoiser": [paper.denoiser],
        "decoder": [paper.denoiser, paper.gradient],
        "semantic_encoder": [paper.semantic],
    }
    count = sum(parameter.numel() for part in parts[name] for parameter in part.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.data
@pytest.mark.parametrize("name", ["vae", "denoiser", "decoder", "semantic_encoder"])
def test_every_name_and_shape(paper: LatentDiffusionAutoencoder, name: str, shared_data: Path):
    published = json.loads((shared_data / "ldae-golden" / "published_state_dict_shapes.json").read_text())
    states = {
        "vae": paper.vae.state_dict(),
        "denoiser": paper.denoiser.state_dict(),
        "decoder": join_decoder(paper.denoiser.state_dict(), paper.gradient.state_dict()),
        "semantic_encoder": double_backbone(paper.semantic.state_dict()),
    }
    found = {key: list(value.shape) for key, value in states[name].items()}
    assert found == published[name]


@pytest.mark.parametrize(
    ("name", "tera_operations"),
    [("encode", 3.62), ("decode", 6.92), ("denoiser", 0.944), ("decoder", 1.681)],
)
def test_cost_of_a_forward_pass(paper: LatentDiffusionAutoencoder, name: str, tera_operations: float):
    """A multiplication with its addition counts as two operations."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        latent = torch.empty(1, PAPER.latent_channels, *PAPER.latent_shape)
        timestep, code = torch.zeros(1, dtype=torch.int64), torch.empty(1, PAPER.code_size)
        actions = {
            "encode": lambda: paper.vae.encode(torch.empty(1, 1, *PAPER.grid_shape)),
            "decode": lambda: paper.vae.decode(latent),
            "denoiser": lambda: paper.denoiser(latent, timestep),
            "decoder": lambda: paper.predict_parts(latent, timestep, code),
        }
        actions[name]()
    assert counter.get_total_flops() / 1e12 == pytest.approx(tera_operations, rel=0.02)


def test_latent_is_an_eighth_of_the_grid():
    assert PAPER.latent_shape == (16, 20, 16)


@pytest.mark.parametrize("multipliers", [(1,), (1, 2), (1, 2, 3), (2, 2, 4, 4)])
def test_the_way_up_reads_every_skip_once_and_undoes_every_halving(multipliers: tuple[int, ...]):
    sizes = UNetSizes(base=32, multipliers=multipliers)
    down, up = plan_down(sizes), plan_up(sizes)
    assert len(up) == len(down) + 1
    assert sum(stage.resize == "up" for stage in up) == sum(stage.resize == "down" for stage in down)
    skips = [32 * multipliers[0], *(stage.outputs for stage in down)]
    below = [skips[-1], *(stage.outputs for stage in up)]
    assert [stage.inputs for stage in up] == [a + b for a, b in zip(skips[::-1], below[:-1], strict=True)]
    assert all(after.inputs == before.outputs for before, after in pairwise(down))
