"""Checkpoints that are whole or absent, written every so often, and read without pickle's dangers."""

import logging
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from neurolatent.provenance import whole_file
from neurolatent.training.crew import ALONE, Crew


class WholeCheckpointIO(TorchCheckpointIO):
    """Write under another name, then rename: a process killed while it writes leaves the checkpoint before."""

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint whole or not at all."""
        with whole_file(Path(path)) as temporary:
            torch.save(checkpoint, temporary)


class Checkpoints(Callback):
    """Save after so many seconds; `spent` is what earlier processes have done of the stage."""

    def __init__(
        self,
        path: Path,
        *,
        spent: "Spent",
        every_seconds: float,
        pieces: int = 1,
        check_every: int | None = None,
        crew: Crew = ALONE,
    ) -> None:
        self.path, self.every_seconds = path, every_seconds
        self.spent, self.pieces, self.check_every, self.crew = spent, pieces, check_every, crew
        self.started_at = self.saved_at = time.monotonic()
        self.left_at: float | None = None
        self.waited = 0.0

    @property
    def seconds(self) -> float:
        """How long the stage has trained, earlier processes included."""
        return self.spent.seconds + time.monotonic() - self.started_at

    @property
    def waiting_share(self) -> float:
        """Share of the time spent waiting for the reader, earlier processes included."""
        return (self.spent.waited + self.waited) / max(self.seconds, 1e-9)

    @override
    def state_dict(self) -> dict[str, Any]:
        """Keep the times with the checkpoint."""
        return {"seconds": self.seconds, "waited": self.spent.waited + self.waited}

    @override
    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Count the batches as this run's pieces: those of the run before may have been others."""
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        seen = checkpoint["global_step"] * self.pieces
        for counts in (progress["total"], progress["current"]):
            counts.update(ready=seen, started=seen, processed=seen, completed=seen - 1)

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Count the time since the last batch, but for the first: readers have to start."""
        if self.left_at is not None:
            self.waited += time.monotonic() - self.left_at

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where it is due, between two steps of the optimiser, but not where a check is about to follow."""
        checked = False
        if batch["piece"] == self.pieces - 1:
            checked = self.check_every is not None and trainer.global_step % self.check_every == 0
            due = time.monotonic() - self.saved_at >= self.every_seconds
            if not checked and self.crew.agree(wish=due):
                trainer.save_checkpoint(self.path)
                self.saved_at = time.monotonic()
        self.left_at = None if checked else time.monotonic()  # what a check takes is no waiting


@dataclass(frozen=True)
class Spent:
    """What a checkpoint holds."""

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    """Of the seconds, for the reader."""


def spent_before(path: Path) -> Spent:
    """Return what a checkpoint holds; nothing where there is none."""
    if not path.is_file():
        return Spent()
    checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    times = checkpoint["callbacks"][Checkpoints.__qualname__]
    return Spent(int(checkpoint["global_step"]), times["seconds"], times.get("waited", 0.0))


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
