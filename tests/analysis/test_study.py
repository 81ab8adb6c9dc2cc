"""Everything on disk, opened together; and a grid too coarse for SSIM."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neurolatent.analysis import age_counterfactual, fill_missing_visit, reconstruct
from neurolatent.analysis.codes import encode
from neurolatent.analysis.finding import read_finding
from neurolatent.analysis.protocols import PROTOCOLS
from neurolatent.analysis.selection import scans_worth_noise
from neurolatent.analysis.study import Study, open_study
from neurolatent.cohort.sidecar import write_sidecar
from neurolatent.cohort.splits import write_split
from neurolatent.cohort.visits import write_visits
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import PRESETS
from neurolatent.model.weights import PARTS, fingerprint, hash_weights, save_part, write_card
from neurolatent.volume.cache import write_cache
from neurolatent.volume.space import Grid
from neurolatent.workspace import Workspace

CPU = torch.device("cpu")
QUICK = {
    "fill_missing_visit": fill_missing_visit.Settings(steps=2, triplets=6, resamples=100),
    "age_counterfactual": age_counterfactual.Settings(steps=2, people=6, resamples=100),
    "reconstruct": reconstruct.Settings(steps=2, scans=6, step_counts=(2,), step_scans=2, resamples=100),
}


@pytest.fixture(scope="module")
def tiny(study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The synthetic people on the `tiny` grid, with untrained networks, all on disk."""
    root: Path = tmp_path_factory.mktemp("tiny")
    workspace, grid = Workspace(root), Grid(8.0)
    rng = np.random.default_rng(1)
    mask = np.zeros(grid.shape, dtype=bool)
    mask[4:20, 4:28, 4:20] = True
    scans = ((v.key, (rng.random(grid.shape) * mask).astype(np.float32), mask, "h") for v in study.visits)
    cache = write_cache(workspace.cache(8.0), scans, count=len(study.visits), grid=grid, preprocessing="p")
    model, folder = LatentDiffusionAutoencoder(PRESETS["tiny"]).eval(), workspace.model("tiny")
    files = {f"{part}.safetensors": save_part(folder, model, part) for part in PARTS}
    hashes = {"files": files, "weights_hash": hash_weights(files), "architecture": fingerprint(PRESETS["tiny"])}
    card = replace(study.card, preset="tiny", **hashes)
    write_card(folder, card)
    write_visits(workspace.visits_tsv, study.visits)
    write_sidecar(workspace.visits_json, replace(study.sidecar, simulation=False))
    write_split(workspace.split_json, study.split)
    encode(cache, model, card, workspace.codes("tiny"), steps=2, device=CPU)
    return open_study(workspace, run="tiny", device=CPU)


def test_what_lies_on_disk_opens_together(study, tiny):
    assert [visit.key for visit in tiny.visits] == [visit.key for visit in study.visits]
    assert tiny.split.hash == study.split.hash
    assert tiny.truth is None
    assert len(tiny.test_subjects) == 48


@pytest.mark.parametrize("protocol", sorted(QUICK))
def test_on_a_grid_too_coarse_for_ssim_only_the_squared_error_is_recorded(tiny, protocol):
    _, analyse = PROTOCOLS[protocol]
    finding = analyse(tiny, QUICK[protocol])
    again = read_finding(tiny.workspace.findings("tiny", protocol) / "finding.json")
    assert [e.name for e in again.estimates] == [e.name for e in finding.estimates]
    assert not [e for e in finding.estimates if "SSIM" in e.name]


def test_every_protocol_has_settings_that_work_as_they_are():
    assert sorted(PROTOCOLS) == [
        "age_counterfactual",
        "classify_ad",
        "fill_missing_visit",
        "reconstruct",
        "regress_age",
    ]
    for settings, _ in PROTOCOLS.values():
        assert settings().seed == 1


def test_a_scan_that_was_not_preprocessed_is_not_used(study):
    lost = replace(study.visits[0], session_id="ses-M99", months=-6.0)
    assert replace(study, visits=(lost, *study.visits)).first_scans == study.first_scans


def test_noise_is_worth_inferring_for_the_first_scan_of_each_stable_control(study):
    keys = scans_worth_noise(study.visits, study.cache.keys)
    assert len(keys) == 24
    assert {key.session_id for key in keys} == {"ses-M00"}
