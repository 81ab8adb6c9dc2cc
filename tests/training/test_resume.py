"""A training killed at any moment ends, when run again, in the very same weights (CPU, float32: bit by bit)."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from neurolatent.model.weights import read_card
from neurolatent.training.checkpoint import spent_before

SCRIPT = """
import sys
from pathlib import Path
import torch
from neurolatent.model.presets import PRESETS
from neurolatent.report.training_pictures import draw_sheet
from neurolatent.training.engine import Engine
from neurolatent.training.stages import train
from neurolatent.volume.cache import open_cache

torch.set_num_threads(1)
train(open_cache(Path(sys.argv[1])), Path(sys.argv[2]), preset=PRESETS["tiny"], training_rows=range(10),
      validation_rows=[10, 11], cohort="ellipsoids", seed=1, device=torch.device("cpu"), checkpoint_seconds=0.1,
      engine=Engine(picture_seconds=0.1), draw=draw_sheet)
"""


def run_until(moment, cache: Path, folder: Path):
    """Start a training and kill it once `moment` exists and half a second has passed."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(cache), str(folder)])
    while moment and process.poll() is None and not list((folder / "training").glob(moment)):
        time.sleep(0.02)
    if moment:
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
    process.wait()
    return process.returncode


def test_killed_and_resumed_equals_uninterrupted(trained, brains, tmp_path):
    """And pictures, drawn in the one and not in the other, make no difference."""
    cache = Path(brains.volumes.filename).parent
    killed = [run_until(moment, cache, tmp_path) for moment in ("vae-*.ckpt", "denoiser-*.ckpt", "autoencoder-*.ckpt")]
    assert killed == [-signal.SIGKILL] * 3
    assert not (tmp_path / "card.json").exists()
    spent = spent_before(next(tmp_path.rglob("autoencoder-*.ckpt")))
    assert run_until(None, cache, tmp_path) == 0
    assert read_card(tmp_path).weights_hash == read_card(trained).weights_hash
    assert read_card(tmp_path).stages["autoencoder"].seconds > spent.seconds > 0
    assert not list(tmp_path.rglob("*.ckpt"))
    assert (tmp_path / "training" / "pictures" / "autoencoder-step-000060.png").is_file()
    assert not list(tmp_path.glob(".partial-*"))
