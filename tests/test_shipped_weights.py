"""The weights in the package are what their card says, small enough, and strangers to the demo's people."""

import pytest
import torch

from neurolatent import model_steps, pipeline
from neurolatent.errors import SettingsError
from neurolatent.model.weights import WORK_FOLDER, load_autoencoder
from neurolatent.workspace import Workspace


def test_shipped_weights_fit_their_card_and_their_size():
    model, card = load_autoencoder(model_steps.SHIPPED_WEIGHTS, device=torch.device("cpu"))
    files = list(model_steps.SHIPPED_WEIGHTS.iterdir())
    assert {file.suffix for file in files} == {".safetensors", ".json"}
    assert sum(file.stat().st_size for file in files) < 20e6
    assert card.preset == model.preset.name == "demo"


def test_no_stage_has_seen_a_person_of_the_demo():
    _, card = load_autoencoder(model_steps.SHIPPED_WEIGHTS, device=torch.device("cpu"))
    prefix = f"sub-S{pipeline.DEMO_SEED}P"
    for name, stage in card.stages.items():
        assert len(stage.subjects) > 100, name
        assert not [person for _, person in (*stage.subjects, *stage.validation_subjects) if person.startswith(prefix)]
        assert not stage.supervised


def test_weights_from_elsewhere_replace_each_other_but_no_model_that_was_trained_here(tmp_path):
    folder = Workspace(tmp_path).model("demo")
    for _ in range(2):
        assert model_steps.install_shipped_weights(tmp_path) == folder
    (folder / WORK_FOLDER).mkdir()
    (folder / "vae.safetensors").write_bytes(b"trained for a week")
    with pytest.raises(SettingsError, match=r"got a model trained there.*--run OTHER_NAME"):
        model_steps.install_shipped_weights(tmp_path)
    assert (folder / "vae.safetensors").read_bytes() == b"trained for a week"
    assert model_steps.install_shipped_weights(tmp_path, run="shipped").name == "shipped"
