"""The wheel carries all that a command needs, with no checkout in sight."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_content_and_weights_and_nothing_private(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "neurolatent/_content/cohorts/phantom.toml",
        "neurolatent/_content/protocols/regress_age.py",
        "neurolatent/_content/reports/page.html.j2",
        "neurolatent/_weights/demo/card.json",
        "neurolatent/_weights/demo/autoencoder.safetensors",
    ):
        assert wanted in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"neurolatent"}
    assert wheel.stat().st_size < 25e6


def test_installed_wheel_runs_a_command_that_needs_content(wheel, tmp_path):
    """Only the wheel itself is installed; the libraries come from the environment that runs the tests."""
    place = tmp_path / "venv"
    venv.create(place, with_pip=False, system_site_packages=False)
    site = next((place / "lib").glob("python*")) / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    # Not a .pth line: that would also run the editable install's own .pth and bring the checkout back.
    environment = {**os.environ, "PYTHONPATH": libraries}
    python = place / "bin" / "python"
    run = [python, "-c", "import neurolatent; print(neurolatent.__file__)"]
    where = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert str(place) in where
    listing = [python, "-m", "neurolatent.cli", "cohort", "list"]
    done = subprocess.run(listing, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "phantom" in done.stdout
    assert "ixi" in done.stdout
