"""The phantom needs torch, numpy and nibabel alone."""

import subprocess
import sys

HEAVY = (
    "torchio",
    "SimpleITK",
    "nilearn",
    "pandas",
    "scipy",
    "sklearn",
    "statsmodels",
    "tyro",
    "pydantic",
    "rich",
    "joblib",
)
PROGRAM = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Refuse())
import neurolatent.phantom
from neurolatent.phantom.parameters import load_parameters
load_parameters()
"""


def test_the_phantom_imports_where_every_heavy_library_is_blocked():
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(heavy=HEAVY)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
