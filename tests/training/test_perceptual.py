"""Features of a network that learnt from pictures: what they see, and what they leave alone."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from neurolatent import cli, model_steps
from neurolatent.errors import SettingsError, WeightsError
from neurolatent.model.presets import PRESETS
from neurolatent.model.published.convnext import ConvNeXt
from neurolatent.model.published.imagenet import STEM
from neurolatent.model.published.sizes import SemanticSizes
from neurolatent.provenance import hash_file
from neurolatent.training import perceptual, stages
from neurolatent.training.draws import Draws
from neurolatent.training.modules import CompressionStage
from neurolatent.training.perceptual import Perceptual, load_perceptual
from tests.training.conftest import train_tiny
from tests.training.test_engine import SHORT as PLAIN

SHORT = replace(PLAIN, perceptual_weight=0.001)
SIZES = SemanticSizes(widths=(4, 6, 8, 16), blocks=(1, 1, 2, 1))


def write_weights(path, seed):
    torch.manual_seed(seed)
    state = {key: value.clone() for key, value in ConvNeXt(SIZES).state_dict().items()}
    state[STEM] = torch.randn(4, 3, 4, 4)
    save_file(state, path)
    return path


@pytest.fixture
def network(tmp_path, monkeypatch):
    monkeypatch.setattr(perceptual, "SIZES", SIZES)
    return load_perceptual(write_weights(tmp_path / "convnext.safetensors", 0))


@pytest.fixture
def volume():
    return torch.rand(2, 1, 48, 60, 48, generator=torch.Generator().manual_seed(2))


def draws():
    return Draws(seed=1, step=0, places=[0, 1])


def test_equal_volumes_are_alike_and_blurred_ones_are_not(network, volume):
    blurred = functional.avg_pool3d(volume, 3, 1, 1)
    assert network(volume, volume, draws()).tolist() == [0, 0]
    assert (network(volume, blurred, draws()) > 1e-4).all()


def test_slices_are_the_scans_own_of_each_axis(network, volume, monkeypatch):
    seen = []
    monkeypatch.setattr(perceptual, "_distance", lambda _, real, made: seen.append(real) or torch.zeros(len(real)))
    network(volume, volume, draws())
    for axis, slices in enumerate(seen):
        standardised = (volume - perceptual.GREY_MEAN) / perceptual.GREY_SD
        for number, one in enumerate(slices[:, 0]):
            scan = standardised[number // perceptual.SLICES, 0]
            assert any(torch.equal(one, scan.select(axis, place)) for place in range(scan.shape[axis]))


def test_gradients_flow_through_the_network_but_not_to_it(network, volume):
    reconstruction = (0.5 * volume).requires_grad_()
    network(volume, reconstruction, draws()).sum().backward()
    assert reconstruction.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.network.parameters())


def test_a_slice_too_small_for_the_last_level_is_seen_by_the_others(network):
    volume = torch.rand(1, 1, *PRESETS["tiny"].grid_shape)
    assert network(volume, 0.5 * volume, Draws(seed=0, step=0, places=[0])).item() > 0


def test_it_is_no_part_of_the_stage_and_copied_by_nobody(network, tmp_path, monkeypatch):
    from neurolatent.model.autoencoder import LatentDiffusionAutoencoder

    tiny, calls = SHORT, []
    model = LatentDiffusionAutoencoder(tiny)
    options = {"length": tiny.vae, "steps": 4, "seed": 1, "name_scans": list}
    stage = CompressionStage(model, **options, perceptual=tmp_path / "convnext.safetensors")
    assert all(name.startswith("vae.") for name in stage.state_dict())
    batch = {"volume": torch.rand(1, 1, *tiny.grid_shape), "rows": [0]}
    monkeypatch.setattr(Perceptual, "__call__", lambda self, *_: calls.append(self) or torch.zeros(1))
    for one in (stage, copy.deepcopy(stage).train()):
        one.losses(batch, Draws(seed=0, step=0, places=[0]))
    assert calls[0] is calls[1]
    assert not calls[0].network.training


def test_the_file_decides_whether_a_training_is_another(network, brains, tmp_path):
    told = []
    options = {"preset": SHORT, "progress": lambda what, *_, **__: told.append(what)}
    plain = train_tiny(brains, tmp_path / "run", **options)
    hashes = {plain.files["vae.safetensors"]}
    for seed in (0, 1):
        told.clear()
        path = write_weights(tmp_path / f"{seed}.safetensors", seed)
        hashes.add(train_tiny(brains, tmp_path / "run", **options, perceptual=path).files["vae.safetensors"])
        assert not any("finished before" in what for what in told)
    assert len(hashes) == 3
    told.clear()
    train_tiny(brains, tmp_path / "run", **options, perceptual=path)
    assert all("finished before" in what for what in told)


def test_the_card_names_the_file_and_a_preset_without_its_weight_is_refused(network, brains, tmp_path):
    path = write_weights(tmp_path / "eyes.safetensors", 0)
    card = train_tiny(brains, tmp_path / "run", preset=SHORT, perceptual=path)
    assert card.perceptual == hash_file(path)
    with pytest.raises(SettingsError, match="expected a preset that gives the perceptual loss a weight, got 'tiny'"):
        train_tiny(brains, tmp_path, perceptual=path)


def test_a_missing_file_is_refused(brains, tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pth: expected ImageNet weights, found no file"):
        train_tiny(brains, tmp_path, preset=SHORT, perceptual=tmp_path / "none.pth")


def test_the_command_hands_the_file_on_to_estimate_and_training(brains, tmp_path, monkeypatch):
    monkeypatch.setattr(model_steps, "_training_rows", lambda *_: (brains, list(range(10)), [10, 11]))
    monkeypatch.setattr(model_steps, "read_sidecar", lambda _: SimpleNamespace(cohort="ellipsoids", members=()))
    seen, path = [], tmp_path / "convnext.pth"
    monkeypatch.setattr(stages, "train", lambda *_, **options: seen.append(options["perceptual"]))
    measured = stages.Estimate(minutes=1.0, memory_gb=1.0, disk_mb=1.0)
    monkeypatch.setattr(stages, "estimate", lambda *_, **options: seen.append(options["perceptual"]) or measured)
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main(["train", str(tmp_path), "--preset", "tiny", "--device", "cpu", "--perceptual", str(path)])
    assert seen == [path, path]
