"""The weights in the package are what their card says, small enough, and strangers to the demo's people."""

import torch

from neurolatent import model_steps, pipeline
from neurolatent.model.weights import load_autoencoder


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
