"""The GPU benchmark runs as it is on a lean node, goes on where it was, and its page invents nothing."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import find_preset
from neurolatent.volume.template import template_maps
from tests.test_lean_node import BLOCK

ROOT = Path(__file__).parents[1]
SCRIPTS, PAGE = ROOT / "benchmarks", ROOT / "docs" / "results" / "gpu.md"
PEOPLE = 40
RUN = """
import runpy
for name in ("joblib", "scipy", "sklearn"):  # the GPU's machine has scikit-learn, and what that needs
    del sys.modules[name]
from importlib.machinery import PathFinder
class WithoutPandas(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] == "pandas" else super().find_spec(name, path, target)
sys.meta_path[:] = [WithoutPandas if finder is PathFinder else finder for finder in sys.meta_path]
del sys.modules["pandas"]  # scikit-learn takes whatever it finds there for pandas
sys.argv = ["gpu.py", *sys.argv[1:]]
sys.path[:0] = [{scripts!r}]
runpy.run_path({scripts!r} + "/gpu.py", run_name="__main__")
"""
pytestmark = pytest.mark.skipif(not SCRIPTS.is_dir(), reason="benchmarks are part of the checkout")


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_the_page_without_measurements_is_the_one_in_the_docs_or_a_gpu_is_named(scripts):
    from gpu_page import page

    text = PAGE.read_text(encoding="utf-8")
    if "Untested on a GPU" in text:
        assert text == page({}), "Write it again: python benchmarks/gpu_page.py docs/results/gpu.md"
        assert not re.search(r"\| [\d.]+ ", text.replace("95 % interval", ""))
    rows = {line.split("|")[1] for line in page({}).splitlines() if line.startswith("|")}
    assert rows <= {line.split("|")[1] for line in text.splitlines() if line.startswith("|")}


def test_the_page_says_how_much_faster_and_why_something_could_not_be_measured(scripts):
    from gpu_page import page

    timed = {"scans_per_second": 40.0, "low": 39.0, "high": 41.0, "batch": 4, "n": 20, "peak_gb": 1.5}
    found = {
        "encode": {
            "bf16": {**timed, "seconds": 0.1},
            "fp32": {**timed, "seconds": 0.25},
            "bf16, compiled": {"why_not": "InvalidCxxCompiler: none"},
        }
    }
    (row,) = (line for line in page(found).splitlines() if line.startswith("| encode"))
    assert row == "| encode (VAE, y) | 4 | 40 (39 to 41) | 2.50 | InvalidCxxCompiler: none | 1.50 | 20 |"


def test_a_reason_with_a_bar_stays_in_its_cell(scripts):
    from gpu_page import page

    (row,) = (line for line in page({"encode": {"bf16": {"why_not": "a|b"}}}).splitlines() if "| encode" in line)
    assert row == "| encode (VAE, y) | – | a/b | – | – | – | – |"


def test_a_training_step_with_an_adversary_is_measured_even_once(scripts):
    from gpu_speed import measure

    model = LatentDiffusionAutoencoder(replace(find_preset("tiny"), adversary_weight=0.025))
    found = measure(model, "train vae", repeats=1, with_compiler=False)
    assert found["fp32"]["n"] == found["bf16"]["n"] == 1
    assert 0 < found["fp32"]["low"] == found["fp32"]["scans_per_second"]


def failing(error: Exception, *, after: int):
    """Return what stands for `_action`: in bf16, it fails after some goes."""

    def choose(model, what, *, half):
        goes = iter(range(after))

        def act():
            if half and next(goes, None) is None:
                raise error

        return act

    return choose


def test_a_mistake_in_the_program_is_no_limit_of_the_gpu(scripts, monkeypatch):
    import gpu_speed

    model = LatentDiffusionAutoencoder(find_preset("tiny"))
    monkeypatch.setattr(gpu_speed, "_action", failing(RuntimeError(""), after=0))
    assert gpu_speed.measure(model, "encode", repeats=2, with_compiler=False)["bf16"] == {"why_not": "RuntimeError: "}
    monkeypatch.setattr(gpu_speed, "_action", failing(KeyError("step"), after=0))
    with pytest.raises(KeyError, match="step"):
        gpu_speed.measure(model, "encode", repeats=2, with_compiler=False)


def test_a_variant_that_runs_out_of_memory_while_timed_leaves_the_others(scripts, monkeypatch):
    import gpu_speed

    error = torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")
    monkeypatch.setattr(gpu_speed, "_action", failing(error, after=gpu_speed.WARM_UP + 1))
    model = LatentDiffusionAutoencoder(find_preset("tiny"))
    found = gpu_speed.measure(model, "encode", repeats=3, with_compiler=False)
    assert found["bf16"] == {"why_not": "OutOfMemoryError: CUDA out of memory."}
    assert found["fp32"]["n"] == 3


def test_the_template_that_travels_is_the_template(scripts, tmp_path):
    from gpu_cohort import read_template, write_template

    write_template(tmp_path / "template.npz")
    assert (tmp_path / "template.npz").stat().st_size < 64 * 2**20
    travelled, own = read_template(tmp_path / "template.npz"), template_maps()
    for name in ("t1", "grey", "white", "world_from_voxel"):
        np.testing.assert_array_equal(getattr(travelled, name), getattr(own, name))
        assert getattr(travelled, name).dtype == getattr(own, name).dtype


def run_lean(*arguments: str) -> str:
    command = [sys.executable, "-c", BLOCK + RUN.format(scripts=str(SCRIPTS)), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_on_a_lean_node_everything_is_measured_once(scripts, tmp_path):
    from gpu_cohort import write_template

    write_template(tmp_path / "template.npz")
    arguments = ["--preset", "tiny", "--device", "cpu", "--people", str(PEOPLE), "--jobs", "1", "--minutes", "0.5"]
    arguments += [
        "--repeats",
        "3",
        "--no-compile",
        "--out",
        str(tmp_path),
        "--template",
        str(tmp_path / "template.npz"),
    ]
    first = run_lean(*arguments)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert sum(found["setting"]["people"].values()) == PEOPLE
    assert found["likeness"]["masked MSE, vae"]["n"] == found["setting"]["people"]["test"]
    assert 0 <= found["probes"]["ROC-AUC"]["low"] <= found["probes"]["ROC-AUC"]["value"] <= 1
    difference = found["probes"]["MAE"]["value"] - found["probes"]["MAE, mean age"]["value"]
    assert found["probes"]["MAE − mean age"]["value"] == pytest.approx(difference)
    for what in ("encode", "decode", "decoder step", "train vae", "train denoiser", "train autoencoder"):
        assert found[what]["fp32"]["n"] == 3
        assert found[what]["fp32"]["seconds"] > 0
        assert "--no-compile" in found[what]["bf16, compiled"]["why_not"]
        assert f"{what}: " in first
    assert "**Untested on a GPU**: this ran on a CPU" in (tmp_path / "gpu.md").read_text()
    again = run_lean(*arguments)
    assert again.splitlines() == [f"{tmp_path / 'gpu.md'}: written"]
