"""What is dropped of a scan is its own matter, whatever process or piece of the batch the scan falls into."""

from types import SimpleNamespace

import pytest
import torch

from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.dropout import Dropout, own_dropout
from neurolatent.training.modules import PretrainingStage, RepresentationStage
from tests.model.published.small import CPU, SMALL


def test_a_share_is_dropped_and_the_rest_scaled_up():
    layer, values = Dropout(0.25), torch.ones(2, 10_000)
    with own_dropout([1, 2], CPU):
        dropped = layer(values)
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (dropped == 0).float().mean(1).tolist() == pytest.approx([0.25, 0.25], abs=0.02)
    assert not torch.equal(dropped[0], dropped[1])
    assert torch.equal(layer.eval()(values), values)


def test_masks_follow_the_scan_and_its_slices():
    layer, values = Dropout(0.5), torch.ones(6, 50)
    with own_dropout([1, 2], CPU):
        both = layer(values), layer(values)
    with own_dropout([2], CPU):
        second = layer(values[3:]), layer(values[3:])
    assert torch.equal(both[0][3:], second[0])
    assert torch.equal(both[1][3:], second[1])
    assert not torch.equal(*both)


@pytest.mark.parametrize("stage", [PretrainingStage, RepresentationStage])
def test_the_published_networks_learn_the_same_from_a_batch_and_from_its_pieces(stage, monkeypatch):
    torch.manual_seed(0)
    model = LatentDiffusionAutoencoder(SMALL).double()
    for parameter in model.parameters():  # nothing starts at nought, behind which dropout would not show
        parameter.data += 0.05 * torch.randn_like(parameter)
    module = stage(model.train(), length=SMALL.denoiser, steps=10, seed=3, name_scans=list)
    monkeypatch.setattr(stage, "global_step", 5)
    monkeypatch.setattr(stage, "trainer", SimpleNamespace(), raising=False)
    generator = torch.Generator().manual_seed(1)
    content = {
        "volume": torch.rand(4, 1, *SMALL.grid_shape, generator=generator),
        "latent": torch.randn(4, SMALL.latent_channels, *SMALL.latent_shape, generator=generator),
    }

    def loss(places: list[int]) -> float:
        chosen = {name: value[places] for name, value in content.items()}
        return module.training_step({**chosen, "step": 5, "places": places, "rows": places}).item()

    whole = loss([0, 1, 2, 3])
    assert (loss([0, 1]) + loss([2, 3])) / 2 == pytest.approx(whole, rel=1e-12)
    assert loss([0, 1, 2, 3]) == whole
    module.eval()
    assert loss([0, 1, 2, 3]) != pytest.approx(whole, rel=1e-6), "nothing was dropped"
