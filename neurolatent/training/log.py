"""The loss of every step, as a table that a resumed run carries on, and smoothed for who watches."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from neurolatent.training.crew import ALONE, Crew

HEADER = ("step", "loss")
SMOOTHED_STEPS = 50
Tell = Callable[[int, float], None]
"""Called as (step, smoothed loss)."""


class LossLog(Callback):
    """Append one row per step, the mean over the whole batch; rows after the last checkpoint are written again.

    Every process needs one, for all take part in the mean; the first of them writes and tells.
    """

    def __init__(
        self, path: Path, *, first_step: int, pieces: int = 1, crew: Crew = ALONE, tell: Tell | None = None
    ) -> None:
        self.path, self.pieces, self.first, self.tell = path, pieces, crew.first, tell
        self.sum, self.smoothed = 0.0, Smoothed()
        if self.first:
            self._keep(read_losses(path)[:first_step])

    def _keep(self, kept: list[tuple[int, float]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([HEADER, *kept])
        for _, loss in kept:
            self.smoothed.add(loss)

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the step's loss, once all of it is known."""
        self.sum += float(outputs["loss"])
        if batch["piece"] < self.pieces - 1:
            return
        own, self.sum = torch.tensor(self.sum, device=pl_module.device), 0.0
        mean = trainer.strategy.reduce(own, reduce_op="mean")
        pl_module.log("loss", mean)
        if self.first:
            self._write(trainer.global_step, float(mean))

    def _write(self, step: int, loss: float) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow((step, f"{loss:.6g}"))
        smoothed = self.smoothed.add(loss)
        if self.tell:
            self.tell(step, smoothed)


class Smoothed:
    """An exponential mean over about 50 steps, weighed so that the first are no closer to nought."""

    def __init__(self) -> None:
        self.sum = self.weight = 0.0

    def add(self, value: float) -> float:
        """Return the mean after one more value: Kingma & Ba 2015, section 3 (arXiv:1412.6980)."""
        self.sum += (value - self.sum) / SMOOTHED_STEPS
        self.weight += (1 - self.weight) / SMOOTHED_STEPS
        return self.sum / self.weight


def read_losses(path: Path) -> list[tuple[int, float]]:
    """Read the table; a last row that was cut off is dropped."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(HEADER)][1:]
    return [(int(step), float(loss)) for step, loss in rows if step and loss]
