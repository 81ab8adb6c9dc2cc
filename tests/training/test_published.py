"""The published construction, made small, trains and samples in the same lines as ours."""

from dataclasses import replace

import pytest
import torch

from neurolatent.model.presets import PRESETS
from neurolatent.model.weights import load_autoencoder
from neurolatent.volume.space import Grid
from tests.model.published.small import SMALL as SMALL_PAPER
from tests.training.conftest import CPU, train_tiny, write_brains

SMALL = replace(SMALL_PAPER, name="small-paper")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A trained model, its card, and a scan; its preset is known for as long as the module's tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, SMALL.name, SMALL)
        cache = write_brains(tmp_path_factory.mktemp("paper"), count=6, grid=Grid(6.0, "paper"))
        folder = tmp_path_factory.mktemp("small")
        train_tiny(cache, folder, preset=SMALL, training_rows=range(4), validation_rows=[4, 5])
        model, card = load_autoencoder(folder, device=CPU)
        yield model, card, torch.from_numpy(cache.volumes[:2].astype("float32"))[:, None]


def test_every_stage_is_trained_and_measured(small):
    _, card, _ = small
    assert card.stages["autoencoder"].metrics.keys() == {
        "error_with_code", "error_with_other_code", "error_without_code",
    }  # fmt: skip
    assert card.settings["construction"] == "published"


def test_latents_have_one_scale_and_no_centre(small):
    model, card, volume = small
    latent = model.compress(volume)
    assert latent.shape == (2, 3, 8, 10, 8)
    assert model.scaling.support.all()
    assert not model.scaling.mean.any()
    assert card.latent_scale == pytest.approx(1 / model.scaling.invert(latent).std().item(), rel=0.2)


def test_the_code_is_read_from_the_scan(small):
    model, _, volume = small
    code = model.encode_semantic(volume)
    assert code.shape == (2, 16)
    torch.testing.assert_close(code, model.semantic(volume))


def test_noise_inferred_leads_back_to_the_latent(small):
    model, _, volume = small
    latent, code = model.compress(volume), model.encode_semantic(volume)
    errors = []
    for steps in (8, 32, 128):
        back = model.decode(code, model.encode_stochastic(latent, code, steps=steps), steps=steps)
        errors.append(((back - latent).norm() / latent.norm()).item())
    assert errors[2] < errors[1] / 2 < errors[0] / 4


def test_a_cache_of_the_paper_knows_its_view(tmp_path):
    cache = write_brains(tmp_path, count=1, grid=Grid(8.0, "paper"))
    assert cache.grid == Grid(8.0, "paper")
    assert cache.grid.label == "paper8"
    assert replace(cache.grid, view="standard").world_from_voxel[2, 3] == cache.grid.world_from_voxel[2, 3] - 17
