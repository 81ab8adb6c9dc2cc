"""Preprocess a workspace and kill this process at a chosen point of the second scan: `killed_run.py ROOT POINT`."""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import heads
import nibabel as nib

from neurolatent.volume import subject
from neurolatent.volume.preprocess import preprocess
from neurolatent.workspace import Workspace


def die(*_args, **_options) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_on_call(place, name: str, call: int, *, before=lambda *_args: None) -> None:
    """Let a function work as it is until its call of that number."""
    original, calls = getattr(place, name), 0

    def counted(*args, **options):
        nonlocal calls
        calls += 1
        if calls == call:
            before(*args)
            die()
        return original(*args, **options)

    setattr(place, name, counted)


def write_half(_image, path) -> None:
    Path(path).write_bytes(b"half a volume")


heads.skip_registration(setattr)
root, point = Path(sys.argv[1]), sys.argv[2]
if point == "before the record":
    die_on_call(subject, "write_record", 2)
elif point == "in the middle of a volume":
    die_on_call(nib, "save", 3, before=write_half)
preprocess(Workspace(root), spacing_mm=8.0)
