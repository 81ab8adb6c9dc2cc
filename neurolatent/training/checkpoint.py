"""Checkpoints that are whole or absent, written every so often, and read without pickle's dangers."""

import logging
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from neurolatent.provenance import whole_file

Progress = Callable[[str, int, int], None]
"""Called as (what, done, total)."""


class WholeCheckpointIO(TorchCheckpointIO):
    """Write under another name, then rename: a process killed while it writes leaves the checkpoint before."""

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint whole or not at all."""
        with whole_file(Path(path)) as temporary:
            torch.save(checkpoint, temporary)


class Checkpoints(Callback):
    """Save after so many seconds, and tell how far the stage is."""

    def __init__(self, path: Path, *, every_seconds: float, what: str, steps: int, progress: Progress | None) -> None:
        self.path, self.every_seconds, self.what, self.steps, self.progress = path, every_seconds, what, steps, progress
        self.saved_at = time.monotonic()

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where it is due."""
        if self.progress:
            self.progress(self.what, trainer.global_step, self.steps)
        if time.monotonic() - self.saved_at >= self.every_seconds:
            trainer.save_checkpoint(self.path)
            self.saved_at = time.monotonic()


def steps_done(path: Path) -> int:
    """Return how many steps a checkpoint holds; 0 where there is none."""
    if not path.is_file():
        return 0
    return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["global_step"])


@contextmanager
def quiet_lightning() -> Generator[None]:
    """Keep lightning's banners and advice from the user's terminal."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        logger.setLevel(level)
