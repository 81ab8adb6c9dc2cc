"""ImageNet weights in torchvision's layout start the slices' network, or are refused with the reason."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from neurolatent.errors import SettingsError, WeightsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import PRESETS
from neurolatent.model.published.convnext import ConvNeXt
from neurolatent.model.published.imagenet import HEAD, STEM, load_imagenet
from neurolatent.model.published.sizes import SemanticSizes
from neurolatent.model.weights import load_autoencoder
from neurolatent.provenance import hash_file
from neurolatent.training.stages import train
from neurolatent.volume.space import Grid
from tests.model.published.small import CPU, SMALL
from tests.training.conftest import write_brains

SIZES = SemanticSizes(widths=(4, 6, 8, 16), blocks=(1, 1, 2, 1))
State = dict[str, Tensor]


@pytest.fixture
def network() -> ConvNeXt:
    return ConvNeXt(SIZES)


@pytest.fixture
def coloured(network: ConvNeXt) -> State:
    """Another network's weights, of three colours and with a head."""
    generator = torch.Generator().manual_seed(3)
    state = {key: torch.rand(value.shape, generator=generator) for key, value in network.state_dict().items()}
    state[STEM] = torch.rand(4, 3, 4, 4, generator=generator)
    return state | {f"{HEAD}weight": torch.rand(1000, 16), f"{HEAD}bias": torch.rand(1000)}


@pytest.mark.parametrize("name", ["convnext_small.pth", "convnext_small.safetensors"])
def test_a_grey_slice_is_seen_as_a_grey_picture(network: ConvNeXt, coloured: State, tmp_path: Path, name: str):
    path = tmp_path / name
    if path.suffix == ".pth":
        torch.save(coloured, path)
    else:
        save_file(coloured, path)
    load_imagenet(network, path)
    slices = torch.rand(2, 1, 8, 12)
    expected = torch.nn.functional.conv2d(
        slices.expand(-1, 3, -1, -1), coloured[STEM], coloured["features.0.0.bias"], stride=4
    )
    stem = network.get_submodule("features.0.0")
    torch.testing.assert_close(stem(slices), expected)
    torch.testing.assert_close(network.state_dict()["features.7.0.layer_scale"], coloured["features.7.0.layer_scale"])


def test_weights_of_another_size_are_refused(network: ConvNeXt, coloured: State, tmp_path: Path):
    coloured["features.5.1.block.3.weight"] = torch.rand(3, 2)
    torch.save(coloured, tmp_path / "tiny.pth")
    with pytest.raises(WeightsError, match=r"'features.5.1.block.3.weight' expected \(32, 8\), got \(3, 2\)"):
        load_imagenet(network, tmp_path / "tiny.pth")


def test_weights_of_another_network_are_refused(network: ConvNeXt, tmp_path: Path):
    torch.save({"conv1.weight": torch.rand(64, 3, 7, 7)}, tmp_path / "resnet.pth")
    with pytest.raises(WeightsError, match=r"resnet.pth: at 'classifier.0.bias' expected \(16,\), got none"):
        load_imagenet(network, tmp_path / "resnet.pth")


@pytest.mark.parametrize("name", ["text.pth", "text.safetensors"])
def test_a_file_that_is_no_weights_is_refused_in_one_line(network: ConvNeXt, tmp_path: Path, name: str):
    (tmp_path / name).write_text("<html>404</html>")
    with pytest.raises(WeightsError, match=f"{name}: expected readable weights, got") as refusal:
        load_imagenet(network, tmp_path / name)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_refused(network: ConvNeXt, tmp_path: Path):
    with pytest.raises(WeightsError, match=r"none.pth: expected readable weights, got FileNotFoundError"):
        load_imagenet(network, tmp_path / "none.pth")


def test_a_file_that_holds_code_is_not_run(network: ConvNeXt, tmp_path: Path):
    torch.save({"features": tmp_path}, tmp_path / "code.pth")
    with pytest.raises(WeightsError, match=r"code.pth: expected readable weights, got UnpicklingError"):
        load_imagenet(network, tmp_path / "code.pth")


@pytest.mark.parametrize(
    ("content", "came"),
    [
        ({"epoch": 3, "state_dict": {}}, "expected a tensor as 'epoch', got int"),
        ([1], "expected names and tensors, got"),
    ],
)
def test_a_file_of_other_things_than_tensors_is_refused(network: ConvNeXt, tmp_path: Path, content: object, came: str):
    torch.save(content, tmp_path / "checkpoint.pth")
    with pytest.raises(WeightsError, match=rf"checkpoint.pth: {came}"):
        load_imagenet(network, tmp_path / "checkpoint.pth")


@pytest.mark.usefixtures("small_paper")
def test_a_training_starts_from_them_and_its_card_says_so(tmp_path: Path):
    """With a learning rate of nothing, the slices' network ends where it began."""
    still = replace(SMALL.vae, steps=1, learning_rate=0.0)
    preset = replace(SMALL, vae=still, denoiser=still, autoencoder=still)
    state = LatentDiffusionAutoencoder(SMALL).get_submodule("semantic.backbone.backbone").state_dict()
    given = {key: torch.rand_like(value) for key, value in state.items()}
    coloured = {**given, STEM: (given[STEM] / 3).expand(-1, 3, -1, -1).contiguous()}
    torch.save(coloured, tmp_path / "convnext.pth")
    brains = write_brains(tmp_path / "brains", count=3, grid=Grid(6.0, "paper"))
    options = {
        "preset": preset, "training_rows": [0, 1], "validation_rows": [], "seed": 1, "cohort": "e", "device": CPU,
        "imagenet": tmp_path / "convnext.pth",
    }  # fmt: skip
    card = train(brains, tmp_path / "model", **options)
    assert card.imagenet == hash_file(tmp_path / "convnext.pth")
    trained = load_autoencoder(tmp_path / "model", device=CPU)[0].get_submodule("semantic.backbone.backbone")
    for key, value in trained.state_dict().items():
        torch.testing.assert_close(value, given[key])
    with pytest.raises(SettingsError, match=r"--imagenet .*published construction and no --initial, got preset 'tiny'"):
        train(brains, tmp_path / "tiny", **{**options, "preset": PRESETS["tiny"]})
    with pytest.raises(WeightsError, match=r"none.pth: expected ImageNet weights, found no file"):
        train(brains, tmp_path / "none", **{**options, "imagenet": tmp_path / "none.pth"})
