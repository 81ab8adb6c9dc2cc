"""Weights come back as they were saved, or are refused with the reason."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from neurolatent.errors import WeightsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import PRESETS
from neurolatent.model.weights import (
    PARTS,
    Card,
    StageRecord,
    export_weights,
    fingerprint,
    hash_weights,
    load_autoencoder,
    read_card,
    save_part,
    write_card,
)
from neurolatent.provenance import hash_file

TINY, CPU = PRESETS["tiny"], torch.device("cpu")
STAGE = StageRecord(
    subjects=(("phantom", "sub-S1P0001"),),
    subjects_hash="abc",
    validation_subjects=(),
    supervised=False,
    steps=3,
    planned_steps=6,
    seconds=1.5,
    metrics={"absolute_error": 0.1},
)


def save_model(folder, model):
    files = {f"{part}.safetensors": save_part(folder, model, part) for part in PARTS}
    card = Card(
        preset="tiny",
        settings=TINY.describe(),
        architecture=fingerprint(TINY),
        preprocessing="p",
        latent_scale=1.0,
        stages=dict.fromkeys(PARTS, STAGE),
        files=files,
        weights_hash=hash_weights(files),
        versions={},
        licence="none",
        seed=1,
    )
    write_card(folder, card)
    return card


@pytest.fixture
def model():
    torch.manual_seed(3)
    return LatentDiffusionAutoencoder(TINY)


@pytest.fixture
def folder(model, tmp_path):
    save_model(tmp_path, model)
    return tmp_path


def rewrite(folder, part, change):
    """Change a file of weights and its hash in the card, so that only the content is wrong."""
    path = folder / f"{part}.safetensors"
    save_file(change(load_file(path)), path)
    card = json.loads((folder / "card.json").read_text())
    card["files"][path.name] = hash_file(path)
    (folder / "card.json").write_text(json.dumps(card))


def test_weights_and_card_return_unchanged(model, folder):
    loaded, card = load_autoencoder(folder, device=CPU)
    expected = model.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.state_dict().items())
    assert card.stages == dict.fromkeys(PARTS, STAGE)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_half_precision_halves_the_files_and_keeps_the_people(folder, tmp_path, model):
    card = export_weights(folder, tmp_path / "half")
    loaded, again = load_autoencoder(tmp_path / "half", device=CPU)
    assert card == again
    assert again.stages == read_card(folder).stages
    assert again.weights_hash != read_card(folder).weights_hash
    for key, value in loaded.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[key], rtol=1e-3, atol=1e-4)
    sizes = [sum(path.stat().st_size for path in place.glob("*.safetensors")) for place in (tmp_path / "half", folder)]
    assert sizes[0] < 0.6 * sizes[1]


def test_a_changed_byte_is_refused(folder):
    path = folder / "denoiser.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"denoiser.safetensors: expected SHA-256 .*, got .* not the card's"):
        load_autoencoder(folder, device=CPU)


def test_a_missing_tensor_is_named(folder):
    key = "semantic.readout.bias"
    rewrite(folder, "autoencoder", lambda state: {name: value for name, value in state.items() if name != key})
    with pytest.raises(WeightsError, match=rf"at '{key}' expected \(16,\), got none"):
        load_autoencoder(folder, device=CPU)


def test_a_tensor_too_many_is_named(folder):
    rewrite(folder, "vae", lambda state: {**state, "vae.extra": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"at 'vae.extra' expected no such tensor"):
        load_autoencoder(folder, device=CPU)


def test_another_shape_is_named(folder):
    rewrite(folder, "denoiser", lambda state: {**state, "scaling.mean": torch.zeros(4, 6, 8, 5)})
    with pytest.raises(WeightsError, match=r"at 'scaling.mean' expected \(4, 6, 8, 6\), got \(4, 6, 8, 5\)"):
        load_autoencoder(folder, device=CPU)


def test_not_a_number_is_refused(folder):
    rewrite(folder, "denoiser", lambda state: {**state, "scaling.scale": torch.tensor(float("nan"))})
    with pytest.raises(WeightsError, match=r"at 'scaling.scale' expected finite numbers"):
        load_autoencoder(folder, device=CPU)


def test_unfinished_weights_are_refused(folder):
    (folder / "card.json").unlink()
    with pytest.raises(WeightsError, match=r"expected weights with a card.json, found none"):
        load_autoencoder(folder, device=CPU)


def test_a_missing_file_is_refused(folder):
    (folder / "vae.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"vae.safetensors: expected weights, found no file"):
        load_autoencoder(folder, device=CPU)


def test_an_unknown_preset_is_refused(folder):
    write_card(folder, replace(read_card(folder), preset="huge"))
    with pytest.raises(WeightsError, match=r"expected a preset of .*'tiny'.*, got 'huge'"):
        load_autoencoder(folder, device=CPU)


def test_fingerprint_tells_sizes_apart_but_not_lengths_of_training():
    longer = replace(TINY, vae=replace(TINY.vae, steps=999))
    assert fingerprint(TINY) == fingerprint(longer)
    assert fingerprint(TINY) != fingerprint(replace(TINY, code_size=17))
