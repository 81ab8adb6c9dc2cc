"""The whole line: a demo that trains from nothing, on few people and for few steps, ends in its reports."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurolatent import pipeline
from neurolatent.analysis.finding import read_finding
from neurolatent.analysis.protocols import PROTOCOLS
from neurolatent.cohort_steps import PhantomSettings
from neurolatent.model import presets
from neurolatent.model.presets import find_preset
from neurolatent.model.weights import read_card
from neurolatent.steps import run_protocol
from neurolatent.workspace import Workspace

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.timeout(900)
def test_a_demo_that_trains_ends_in_reports_of_unseen_people(monkeypatch, tmp_path):
    demo = find_preset("demo")
    short = {name: replace(getattr(demo, name), steps=4) for name in ("vae", "denoiser", "autoencoder")}
    monkeypatch.setitem(presets.PRESETS, "demo", replace(demo, **short))
    monkeypatch.setattr(pipeline, "DEMO_PHANTOM", PhantomSettings(subjects=60, visits=3, people=tuple(range(48))))
    monkeypatch.setattr(pipeline, "DEMO_RAW", PhantomSettings(subjects=60, visits=1, space="raw", people=(0, 1)))
    out = tmp_path / "out" / "demo"
    assert pipeline.run_demo(out, train=True) == 0
    assert (out / "report.html").stat().st_size > 50_000
    assert (out / "report.pdf").stat().st_size > 50_000
    workspace = Workspace(out)
    assert read_card(workspace.model("demo")).stages["autoencoder"].steps == 4
    found = [workspace.findings("demo", protocol) / "finding.json" for protocol in PROTOCOLS]
    findings = [read_finding(path) for path in found if path.is_file()]
    assert {finding.protocol for finding in findings} >= {"reconstruct", "fill_missing_visit"}
    assert {finding.certificate for finding in findings} == {"certified"}
    _findings_are_kept_until_the_codes_are_newer(workspace)
    _the_readmes_python_runs(tmp_path, monkeypatch)


def _findings_are_kept_until_the_codes_are_newer(workspace: Workspace) -> None:
    path = workspace.findings("demo", "reconstruct") / "finding.json"
    written = path.stat().st_mtime_ns
    run_protocol("reconstruct", workspace.root)
    assert path.stat().st_mtime_ns == written
    (workspace.codes("demo") / "index.json").touch()
    whole, in_slabs = read_finding(path), run_protocol("reconstruct", workspace.root, slabs=3)
    assert path.stat().st_mtime_ns > written
    values = [[estimate.value for estimate in finding.estimates] for finding in (in_slabs, whole)]
    assert values[0] == pytest.approx(values[1], abs=1e-3)
    assert values[0] != values[1], "slabs round otherwise, or none were used"


def _the_readmes_python_runs(folder: Path, monkeypatch) -> None:
    """Word for word, in the folder that holds out/demo."""
    block = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(block[1], names)
    assert names["older"].shape == names["scan"].shape == names["varied"].shape[1:]
    assert len(names["scans"]) > len(names["learnt"]) > 5
    assert names["codes"].shape[1] == len(names["encoding"].semantic)
