"""On a GPU node without the statistics and imaging libraries, networks, training and phantom still work."""

import subprocess
import sys

import pytest

LACKING = (
    "SimpleITK", "beartype", "joblib", "matplotlib", "nilearn", "pandas", "pydantic", "python_calamine", "rich",
    "scipy", "sklearn", "statsmodels", "torchio", "torchvision", "tyro", "typst",
)  # fmt: skip

BLOCK = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {LACKING!r}:
            raise ModuleNotFoundError(f"lean node: {{name}} is not here", name=name)

sys.meta_path.insert(0, Blocker())
"""

IMPORT_ALL = """
import importlib, pkgutil
import neurolatent.model, neurolatent.phantom, neurolatent.training
for package in (neurolatent.model, neurolatent.phantom, neurolatent.training):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print("imported")
"""

TRAIN = """
import dataclasses, sys, torch
from pathlib import Path
import nibabel
from neurolatent.model.presets import PRESETS
from neurolatent.phantom.cohort import write_phantom
from neurolatent.training.stages import train
from neurolatent.volume.cache import write_cache
from neurolatent.volume.space import Grid
from neurolatent.workspace import ScanKey

torch.set_num_threads(1)
place = Path(sys.argv[1])
write_phantom(place / "source", subjects=6, visits=1, seed=3, spacing_mm=8.0)
paths = sorted(place.glob("source/sub-*/ses-*/anat/*_T1w.nii.gz"))

def scans():
    for path in paths:
        mask = path.with_name(path.name.replace("desc-preproc_T1w", "desc-brain_mask"))
        volume = nibabel.load(path).get_fdata(dtype="float32")
        key = ScanKey(path.parts[-4], path.parts[-3], path.name.split("run-")[1][0] if "run-" in path.name else "1")
        yield key, volume, nibabel.load(mask).get_fdata() > 0.5, path.name

cache = write_cache(place / "cache", scans(), count=len(paths), grid=Grid(8.0), preprocessing="phantom")
rows = list(range(len(paths)))
card = train(cache, place / "model", preset=PRESETS["tiny"], training_rows=rows[:-1], validation_rows=rows[-1:],
             cohort="phantom", seed=1, device=torch.device("cpu"))
print("trained", sorted(card.stages))
"""


@pytest.mark.parametrize(
    ("script", "expected"),
    [(IMPORT_ALL, "imported"), (TRAIN, "trained ['autoencoder', 'denoiser', 'vae']")],
    ids=["imports", "trains tiny on a phantom made there"],
)
def test_lean_node(script, expected, tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", BLOCK + script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert expected in run.stdout
