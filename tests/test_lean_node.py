"""On a GPU node without the statistics and imaging libraries, networks, training and phantom still work."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

LACKING = (
    "SimpleITK", "beartype", "joblib", "matplotlib", "nilearn", "pandas", "pydantic", "python_calamine", "rich",
    "scipy", "sklearn", "statsmodels", "torchio", "torchvision", "tyro", "typst",
)  # fmt: skip

# None is what Python itself records for a module that is not there: importing it fails, looking for it finds nothing.
# Lightning asks the installed distributions too, so these are hidden as well.
BLOCK = f"""
import importlib.metadata, sys

sys.modules.update(dict.fromkeys({LACKING!r}))
find = importlib.metadata.Distribution.from_name

def find_unless_lacking(name):
    if name.lower().replace("-", "_") in {[*map(str.lower, LACKING), "scikit_learn"]!r}:
        raise importlib.metadata.PackageNotFoundError(name)
    return find(name)

importlib.metadata.Distribution.from_name = staticmethod(find_unless_lacking)
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
from neurolatent.volume.template import template_maps
from neurolatent.workspace import ScanKey

torch.set_num_threads(1)
place = Path(sys.argv[1])
# Such a node has no template either: its files are copied there, and the folder is stated.
template = template_maps(Path(sys.argv[2]))
write_phantom(place / "source", subjects=6, visits=1, seed=3, spacing_mm=8.0, template=template)
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
    template = Path(find_spec("nilearn").origin).parent / "datasets" / "data"
    command = [sys.executable, "-c", BLOCK + script, str(tmp_path), str(template)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert expected in run.stdout
