"""What the paper does with its autoencoder can be done with a published one: seeded weights, nothing trained."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurolatent import LDAE
from neurolatent.analysis.probes import fit_age, fit_classifier, published_step
from neurolatent.api import Encoding
from neurolatent.errors import SettingsError
from neurolatent.model.presets import PRESETS
from tests.model.published.folder import SMALL_PAPER, write_weights


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, SMALL_PAPER.name, SMALL_PAPER)
        write_weights(folder, SMALL_PAPER, preprocessing="p")
        yield LDAE.load(folder, device="cpu")


@pytest.fixture(scope="module")
def scans():
    """Two smooth random volumes."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((2, 1, 4, 5, 4), dtype=np.float32))
    return torch.nn.functional.interpolate(coarse, (32, 40, 32), mode="trilinear")[:, 0].numpy()


@pytest.fixture(scope="module")
def probes():
    rng = np.random.default_rng(1)
    codes = rng.normal(size=(60, 16)) * rng.uniform(0.2, 5, 16)
    names = [f"sub-{number}" for number in range(60)]
    age_years = 70 + 4 * codes[:, 0] / codes[:, 0].std() + rng.normal(size=60)
    aged = fit_age(codes, age_years, names, seed=1, own_units=True)
    return aged, fit_classifier(codes, codes[:, 1] + rng.normal(size=60) > 0, names, seed=1, own_units=True)


def test_a_model_decodes_in_the_steps_of_its_own_preset(model):
    assert model.generator.steps == SMALL_PAPER.sampling_steps == 4
    assert replace(SMALL_PAPER, sampling_steps=PRESETS["paper"].sampling_steps).sampling_steps == 100


@pytest.mark.parametrize("scale", [-0.5, 0.3, 2.0])
@pytest.mark.parametrize("place", [0, 1])
def test_a_published_step_is_as_long_as_the_paper_says_where_the_probe_reads(probes, place, scale):
    probe = probes[place]
    in_standard_space = published_step(probe, scale) / probe.scaling.sd
    assert np.linalg.norm(in_standard_space) == pytest.approx(abs(scale) * np.sqrt(16))
    cosine = in_standard_space @ probe.weights / np.linalg.norm(in_standard_space) / np.linalg.norm(probe.weights)
    assert cosine == pytest.approx(np.sign(scale))


def test_a_published_step_moves_the_prediction_by_its_length_times_that_of_the_weights(probes):
    probe, _ = probes
    codes = np.stack([np.zeros(16), published_step(probe, 0.3)])
    before, after = probe.predict(codes)
    assert after - before == pytest.approx(0.3 * np.sqrt(16) * np.linalg.norm(probe.weights))


def test_features_in_their_own_units_are_moved_in_them(probes):
    """In standardised space the step is parallel to w; in the code's own units features that vary more move more."""
    probe, _ = probes
    np.testing.assert_allclose(
        published_step(probe, 1.0) / probe.weights / probe.scaling.sd,
        np.full(16, 1.0) * (np.sqrt(16) / np.linalg.norm(probe.weights)),
    )
    assert probe.scaling.sd.max() > 2 * probe.scaling.sd.min()


def test_a_probe_without_weights_gives_no_step(probes):
    probe, _ = probes
    with pytest.raises(SettingsError, match="all weights are 0"):
        published_step(replace(probe, weights=np.zeros(16)), 1.0)


def test_a_probe_of_one_spread_for_all_features_gives_no_published_step(probes):
    shared = replace(probes[0], scaling=replace(probes[0].scaling, own_units=False))
    with pytest.raises(SettingsError, match=r"divided by its own spread, got .* Fit it with `own_units=True`"):
        published_step(shared, 1.0)


def test_manipulation_by_nothing_is_the_null_edit_and_by_something_is_decoding_the_moved_code(model, scans, probes):
    probe, _ = probes
    encoding = model.encode(scans[0])
    null = model.decode(encoding)
    np.testing.assert_array_equal(model.manipulate(scans[0], probe, 0.0), null)
    moved = np.float32(encoding.semantic + published_step(probe, 0.5))
    edited = model.manipulate(scans[0], probe, 0.5)
    np.testing.assert_array_equal(edited, model.decode(Encoding(moved, encoding.stochastic)))
    assert np.abs(edited - null).max() > 0.02


def test_manipulation_is_for_published_models_alone(probes):
    with pytest.raises(SettingsError, match=r"published construction, got preset 'demo'\. Use `edit`"):
        LDAE.load(steps=2, device="cpu").manipulate(np.zeros((48, 60, 48), dtype=np.float32), probes[0], 1.0)


def test_the_ends_of_an_interpolation_are_the_scans_own_decodings(model, scans):
    first, second = (model.decode(model.encode(scan)) for scan in scans)
    np.testing.assert_allclose(model.interpolate(*scans, 0.0), first, atol=1e-4)
    np.testing.assert_allclose(model.interpolate(*scans, 1.0), second, atol=1e-4)
    assert np.abs(first - second).max() > 0.02


def test_variations_differ_and_are_the_scans_own_code_with_noise_drawn(model, scans):
    varied = model.vary(scans[0], 3, seed=5)
    assert varied.shape == (3, 32, 40, 32)
    assert min(np.abs(varied[a] - varied[b]).max() for a, b in ((0, 1), (0, 2), (1, 2))) > 0.02
    code, noise = model.encode(scans[0]).semantic, model.generator.draw_noise(3, seed=5)
    for volume, drawn in zip(varied, noise, strict=True):
        np.testing.assert_allclose(model.decode(Encoding(code, drawn)), volume, atol=1e-4)
    other = model.vary(scans[1], 3, seed=5)
    assert np.abs(other - varied).max() > 0.02, "the code plays no part"


def test_samples_are_the_same_again_and_in_any_batch_and_know_no_code(model):
    drawn = model.generate(3, seed=7)
    np.testing.assert_array_equal(drawn, model.generate(3, seed=7))
    alone = LDAE(replace(model.generator, batch_scans=1), model.card).generate(3, seed=7)
    np.testing.assert_allclose(alone, drawn, atol=1e-4)
    np.testing.assert_allclose(model.generate(2, seed=7), drawn[:2], atol=1e-4)
    assert np.abs(model.generate(3, seed=8) - drawn).max() > 0.02
    net = model.generator.model
    noise = torch.from_numpy(model.generator.draw_noise(3, seed=7))
    asked: list[int] = []
    handle = net.gradient.register_forward_hook(lambda *_: asked.append(1))
    net.decode(None, noise, steps=2)
    assert not asked
    net.decode(torch.zeros(3, 16), noise, steps=2)
    handle.remove()
    assert asked


def test_no_scans_at_all_are_refused(model, scans):
    with pytest.raises(SettingsError, match="at least 1 scan, got 0"):
        model.generate(0)
    with pytest.raises(SettingsError, match="at least 1 scan, got -2"):
        model.vary(scans[0], -2)
