"""What the published semantic encoder sees of a scan."""

import math

import pytest
import torch
from torch import nn

from neurolatent.model.published.convnext import Block, ConvNeXt
from neurolatent.model.published.layout import double_backbone, single_backbone
from neurolatent.model.published.semantic import SemanticEncoder
from neurolatent.model.published.sizes import SemanticSizes
from neurolatent.shapes import Volume

SIZES = SemanticSizes(widths=(4, 6, 8, 16), blocks=(1, 1, 2, 1), slices=6, heads=2)


def awaken(network: nn.Module) -> None:
    """Let residual branches count from the start."""
    for block in network.modules():
        if isinstance(block, Block):
            nn.init.constant_(block.layer_scale, 0.5)


@pytest.fixture
def encoder() -> SemanticEncoder:
    torch.manual_seed(0)
    network = SemanticEncoder(SIZES).eval()
    awaken(network)
    return network


@pytest.fixture
def volume() -> Volume:
    return torch.rand(2, 1, 32, 64, 6, generator=torch.Generator().manual_seed(1))


def test_each_axial_slice_is_seen_by_itself(encoder: SemanticEncoder, volume: Volume):
    before = encoder.see_slices(volume)
    volume[:, :, :, :, 4] = 0
    after = encoder.see_slices(volume)
    assert before.shape == (2, 6, 16)
    assert [bool(changed) for changed in (before != after).any(2)[1]] == [False] * 4 + [True, False]
    torch.testing.assert_close(before[1, 2], encoder.backbone(volume[1:, :, :, :, 2])[0])


def test_order_of_slices_matters(encoder: SemanticEncoder, volume: Volume):
    assert (encoder(volume) - encoder(volume.flip(4))).abs().max() > 1e-3


def test_code_of_a_scan_does_not_depend_on_the_others(encoder: SemanticEncoder, volume: Volume):
    code = encoder(volume)
    assert code.shape == (2, 16)
    torch.testing.assert_close(code[1:], encoder(volume[1:]))


def test_position_is_sine_and_cosine_in_turn(encoder: SemanticEncoder):
    table = encoder.positional_encoding.pe
    assert table[0, 0].tolist() == [0.0, 1.0] * 8
    assert table[0, 5, :3].tolist() == pytest.approx([math.sin(5), math.cos(5), math.sin(5 / 10_000 ** (2 / 16))])


def test_the_published_file_names_the_backbone_twice(encoder: SemanticEncoder):
    state = encoder.state_dict()
    doubled = double_backbone(state)
    assert len(doubled) - len(state) == sum(key.startswith("backbone.") for key in state)
    assert single_backbone(doubled).keys() == state.keys()


def test_branches_are_left_out_in_training_only():
    torch.manual_seed(0)
    block = Block(4, dropped=0.5)
    awaken(block)
    plane = torch.rand(64, 4, 3, 3)
    whole = block.eval()(plane) - plane
    part = block.train()(plane) - plane
    left_out = (part == 0).flatten(1).all(1)
    assert 16 < left_out.sum() < 48
    torch.testing.assert_close(part[~left_out], 2 * whole[~left_out], rtol=1e-3, atol=1e-5)


def test_share_of_branches_left_out_grows_from_the_first_to_the_last():
    shares = [block.drop.share for block in ConvNeXt(SIZES).modules() if isinstance(block, Block)]
    assert shares == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
