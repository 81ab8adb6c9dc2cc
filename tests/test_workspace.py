"""One writer at a time, whatever became of the last."""

import subprocess
import sys

import pytest

from neurolatent.errors import SettingsError
from neurolatent.workspace import Workspace, resolution_label

HOLD = """
import os, sys, time
from pathlib import Path
from neurolatent.workspace import Workspace
with Workspace(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_two_commands_cannot_write_one_workspace(tmp_path, holder):
    with pytest.raises(SettingsError, match="another neurolatent command"), Workspace(tmp_path).lock():
        pass


def test_a_killed_command_leaves_no_lock(tmp_path, holder):
    holder.kill()
    holder.wait()
    with Workspace(tmp_path).lock():
        pass


def test_resolution_labels_have_no_dot():
    assert [resolution_label(mm) for mm in (1.5, 4.0, 8.0)] == ["1p5", "4", "8"]
