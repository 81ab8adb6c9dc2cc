"""At the published sizes, networks have the published parameters, names, shapes and cost; nothing is computed."""

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from neurolatent.model.published.semantic import SemanticEncoder
from neurolatent.model.published.sizes import PUBLISHED, UNetSizes, plan_down, plan_up
from neurolatent.model.published.unet import Decoder, Denoiser
from neurolatent.model.published.vae import VAE

Networks = Mapping[str, nn.Module]


@pytest.fixture(scope="module")
def networks() -> Networks:
    with torch.device("meta"):
        return {
            "vae": VAE(PUBLISHED.vae),
            "denoiser": Denoiser(PUBLISHED.unet),
            "decoder": Decoder(PUBLISHED.unet),
            "semantic_encoder": SemanticEncoder(PUBLISHED.semantic),
        }


@pytest.mark.parametrize(
    ("name", "millions"),
    [("vae", 13.766), ("denoiser", 486.93), ("decoder", 865.34), ("semantic_encoder", 53.59)],
)
def test_parameters(networks: Networks, name: str, millions: float):
    count = sum(parameter.numel() for parameter in networks[name].parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.data
@pytest.mark.parametrize("name", ["vae", "denoiser", "decoder", "semantic_encoder"])
def test_every_name_and_shape(networks: Networks, name: str, shared_data: Path):
    published = json.loads((shared_data / "ldae-golden" / "published_state_dict_shapes.json").read_text())
    found = {key: list(value.shape) for key, value in networks[name].state_dict().items()}
    assert found == published[name]


@pytest.mark.parametrize(
    ("name", "tera_operations"),
    [("encode", 3.62), ("decode", 6.92), ("denoiser", 0.944), ("decoder", 1.681)],
)
def test_cost_of_a_forward_pass(networks: Networks, name: str, tera_operations: float):
    """A multiplication with its addition counts as two operations."""
    vae = networks["vae"]
    assert isinstance(vae, VAE)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        volume = torch.empty(1, 1, *PUBLISHED.grid_shape)
        latent = torch.empty(1, PUBLISHED.vae.latent_channels, *PUBLISHED.latent_shape)
        timestep, code = torch.zeros(1, dtype=torch.int64), torch.empty(1, PUBLISHED.unet.code_size)
        if name == "encode":
            vae.encode(volume)
        elif name == "decode":
            vae.decode(latent)
        else:
            networks[name](latent, timestep, *([code] if name == "decoder" else []))
    assert counter.get_total_flops() / 1e12 == pytest.approx(tera_operations, rel=0.02)


def test_latent_is_an_eighth_of_the_grid():
    assert PUBLISHED.latent_shape == (16, 20, 16)


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
