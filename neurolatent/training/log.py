"""The loss of every step as a table, which a resumed run carries on."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

HEADER = ("step", "loss")


class LossLog(Callback):
    """Append one row per step, a mean over its pieces; rows after the last checkpoint are written again."""

    def __init__(self, path: Path, *, first_step: int, pieces: int = 1) -> None:
        self.pieces, self.sum = pieces, 0.0
        kept = read_losses(path)[:first_step]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([HEADER, *kept])
        self.path = path

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the step's loss, once all of it is known."""
        self.sum += float(outputs["loss"])
        if batch["piece"] < self.pieces - 1:
            return
        loss, self.sum = self.sum, 0.0
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow((trainer.global_step, f"{loss:.6g}"))


def read_losses(path: Path) -> list[tuple[int, float]]:
    """Read the table; a last row that was cut off is dropped."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(HEADER)][1:]
    return [(int(step), float(loss)) for step, loss in rows if step and loss]
