"""Every protocol runs on a model of the published construction, over a phantom on the paper's own grid."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import pytest

from neurolatent import cohort_steps, model_steps, steps
from neurolatent.analysis import age_counterfactual, fill_missing_visit, reconstruct
from neurolatent.analysis.protocols import PROTOCOLS
from neurolatent.analysis.study import open_study, settle_steps
from neurolatent.model.presets import PRESETS
from neurolatent.phantom.cohort import write_phantom
from neurolatent.volume.cache import open_cache
from neurolatent.volume.space import CENTRES_MM, Grid
from neurolatent.workspace import Workspace
from tests.model.published.folder import SMALL_PAPER, write_weights

RUN, GRID = SMALL_PAPER.name, Grid(6.0, "paper")
QUICK = {
    "age_counterfactual": age_counterfactual.Settings(people=5, resamples=100),
    "fill_missing_visit": fill_missing_visit.Settings(triplets=5, resamples=100),
    "reconstruct": reconstruct.Settings(scans=5, step_counts=(2,), step_scans=2, resamples=100),
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Sixty people, preprocessed and encoded with seeded weights; the preset is known while the tests run."""
    root = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, RUN, SMALL_PAPER)
        write_phantom(root / "source", subjects=60, visits=3, seed=3, spacing_mm=6.0, view="paper", repeats=0.0, jobs=2)
        cohort_steps.build("phantom", root / "source", out=root, fractions=(0.5, 0.1, 0.4))
        assert not steps.preprocess(root, preset=RUN).failed
        found = Workspace(root)
        cache = open_cache(found.cache(6.0, "paper"))
        assert cache.grid == GRID
        write_weights(found.model(RUN), SMALL_PAPER, preprocessing=cache.preprocessing)
        model_steps.encode(root, run=RUN, device="cpu")
        yield found


@pytest.fixture(scope="module")
def findings(workspace):
    return {
        name: steps.run_protocol(name, workspace.root, run=RUN, settings=QUICK.get(name), device="cpu")
        for name in PROTOCOLS
    }


def test_all_protocols_end_in_findings(findings):
    assert all(any(row.role == "model" for row in finding.estimates) for finding in findings.values())


@pytest.mark.parametrize("name", sorted(QUICK))
def test_steps_are_the_presets_own_and_a_finding_made_with_them_is_kept(findings, workspace, name):
    assert findings[name].settings["steps"] == SMALL_PAPER.sampling_steps
    path = workspace.findings(RUN, name) / "finding.json"
    written = path.stat().st_mtime_ns
    steps.run_protocol(name, workspace.root, run=RUN, settings=QUICK[name], device="cpu")
    assert path.stat().st_mtime_ns == written


def test_stated_steps_stay(workspace):
    study = open_study(workspace, run=RUN)
    assert settle_steps(replace(QUICK["reconstruct"], steps=7), study).steps == 7
    assert study.generator().steps == SMALL_PAPER.sampling_steps


def test_the_truth_lies_where_the_scans_do(findings, workspace, row):
    """Held 17 mm beside the scans, the true change would have nothing to do with the voxelwise slope."""
    finding = findings["age_counterfactual"]
    assert row(finding, "voxelwise age slope", "correlation with the true change").value > 0.1
    image = nib.load(workspace.findings(RUN, "age_counterfactual") / finding.maps["change_truth"])
    middle = image.affine @ [*((extent - 1) / 2 for extent in image.shape), 1]
    assert tuple(middle[:3]) == pytest.approx(CENTRES_MM["paper"])


def test_the_page_on_the_published_weights_runs_word_for_word(workspace):
    page = (Path(__file__).parents[2] / "docs" / "published.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names: dict[str, Any] = {}
    here = block[1].replace("out/adni", str(workspace.root)).replace('codes("paper")', f'codes("{RUN}")')
    exec(here.replace("model/paper", f"model/{RUN}"), names)
    assert names["towards_ad"].shape == names["half_way"].shape == names["first"].shape
    assert len(names["varied"]) == len(names["nobody"]) == 4
