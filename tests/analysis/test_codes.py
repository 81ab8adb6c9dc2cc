"""Codes are written once, whole, and refused where they do not belong."""

from dataclasses import replace
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from neurolatent.analysis.codes import encode, open_codes
from neurolatent.analysis.study import open_study
from neurolatent.errors import SettingsError, WeightsError
from neurolatent.provenance import read_json, write_json
from neurolatent.workspace import ScanKey

CPU = torch.device("cpu")


def test_codes_come_back_as_written_by_scan(study):
    codes = open_codes(study.workspace.codes("demo"))
    keys = [study.cache.keys[n] for n in (7, 0)]
    volumes = torch.from_numpy(study.volumes(keys))[:, None]
    y = study.model.encode_semantic(volumes)
    np.testing.assert_allclose(codes.semantic_of(keys), y.numpy(), atol=1e-4)
    first = [study.first_scans["sub-003"].key]
    volume = torch.from_numpy(study.volumes(first))[:, None]
    z = study.model.encode_stochastic(study.model.compress(volume), study.model.encode_semantic(volume), steps=4)
    np.testing.assert_allclose(codes.stochastic_of(first), z.numpy(), atol=1e-2)


def test_by_default_each_persons_first_scan_has_a_stochastic_code(study):
    assert set(study.codes.stochastic_keys) == {visit.key for visit in study.first_scans.values()}


def test_codes_that_match_are_not_made_again(study):
    folder = study.workspace.codes("demo")
    model = MagicMock(spec=type(study.model))
    encode(study.cache, model, study.card, folder, steps=4, device=CPU)
    assert model.method_calls == []


def test_other_weights_other_steps_or_more_scans_are_encoded_again(study, tmp_path):
    folder = tmp_path / "codes" / "demo"
    encode(study.cache, study.model, study.card, folder, steps=4, device=CPU)
    card = replace(study.card, weights_hash="x" * 64)
    assert encode(study.cache, study.model, card, folder, steps=4, device=CPU).weights_hash == "x" * 64
    assert encode(study.cache, study.model, card, folder, steps=5, device=CPU).steps == 5
    everyone = study.cache.keys
    again = encode(study.cache, study.model, card, folder, stochastic_keys=everyone, steps=5, device=CPU)
    assert open_codes(folder).stochastic_keys == again.stochastic_keys == everyone


def test_volumes_preprocessed_in_another_way_than_the_weights_are_refused(study, tmp_path):
    card = replace(study.card, preprocessing="other")
    with pytest.raises(WeightsError, match="preprocess"):
        encode(study.cache, study.model, card, tmp_path, steps=4, device=CPU)


def test_weights_that_saw_warped_brains_see_ours_where_the_user_says_so(study, tmp_path):
    card = replace(study.card, preprocessing="other", registration="a non-linear warp (SyN)")
    wording = r"expect brains laid by a non-linear warp \(SyN\), got p, laid by .* affine .* with --accept-affine"
    with pytest.raises(WeightsError, match=wording):
        encode(study.cache, study.model, card, tmp_path, steps=4, device=CPU)
    accepted = replace(card, accepts_affine=True)
    assert encode(study.cache, study.model, accepted, tmp_path, steps=4, device=CPU).keys == study.cache.keys


def test_a_scan_without_a_code_is_named(study):
    with pytest.raises(SettingsError, match="sub-x/ses-y/1: no semantic code among 192"):
        study.codes.semantic_of([ScanKey("sub-x", "ses-y", "1")])


def test_missing_codes_name_the_command(tmp_path):
    with pytest.raises(SettingsError, match=r"no codes. Run `neurolatent encode .*out --run demo`"):
        open_codes(tmp_path / "out" / "codes" / "demo")


def test_noise_that_was_not_written_is_inferred_and_in_the_order_asked_for(study):
    generator = study.generator(steps=4)
    keys = [study.usable[n].key for n in (2, 0, 3, 1, 2)]
    assert keys[1] in study.codes.stochastic_keys
    assert keys[0] not in study.codes.stochastic_keys
    found = study.noise(keys, generator)
    expected = generator.infer_noise(study.volumes(keys), study.codes.semantic_of(keys))
    np.testing.assert_allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize("what", ["weights", "cache"])
def test_codes_of_other_weights_or_another_cache_are_refused_by_the_command_to_rerun(
    study, tmp_path, what, monkeypatch
):
    folder = tmp_path / "codes" / "demo"
    encode(study.cache, study.model, study.card, folder, steps=4, device=CPU)
    index = read_json(folder / "index.json")
    write_json(folder / "index.json", {**index, f"{what}_hash": "0" * 64})
    monkeypatch.setattr("neurolatent.analysis.study.read_card", lambda _: study.card)
    monkeypatch.setattr("neurolatent.analysis.study.open_cache", lambda _: study.cache)
    with pytest.raises(SettingsError, match=r"made from another .* Run `neurolatent encode .* --run demo` again"):
        open_study(replace(study.workspace, root=tmp_path), run="demo")
