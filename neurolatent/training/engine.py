"""How a training runs: arithmetic, memory, readers, logs. None of it changes what is learnt, but for rounding."""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch

from neurolatent.device import has_fast_bfloat16, usable_cores
from neurolatent.errors import SettingsError
from neurolatent.training.crew import started_as

Precision = Literal["auto", "fp64", "fp32", "bf16", "fp16"]
LoggerName = Literal["tensorboard", "wandb", "mlflow"]
PACKAGES: dict[LoggerName, str] = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
MOST_READERS = 8
LIGHTNING_NAMES = {"fp64": "64-true", "fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass(frozen=True)
class Engine:
    """How to compute."""

    precision: Precision = "auto"
    """`auto`: bfloat16 where the preset allows it and the processor has instructions for it, else 32 bits."""
    scans_at_once: int | None = None
    """Scans that a process holds at a time; the rest of its share of a batch is accumulated. All of it by default."""
    workers: int | None = None
    """Processes that read ahead; with a GPU as many as a process has cores, at most eight, and none on a CPU."""
    loggers: tuple[LoggerName, ...] = ()
    """Beside the table of losses, which is always written."""
    picture_seconds: float = 120.0
    """Seconds between pictures of how a stage does, which go to `training/pictures`; 0 draws none."""

    def check(self, device: torch.device) -> None:
        """Refuse what this machine cannot do."""
        if self.precision == "fp16" and device.type == "cpu":
            msg = "--precision fp16: expected a GPU, got a CPU. Use bf16, fp32 or auto."
            raise SettingsError(msg)
        if self.picture_seconds < 0:
            msg = f"--picture-seconds: expected 0 (none) or more, got {self.picture_seconds:g}. Try 120."
            raise SettingsError(msg)
        for logger in self.loggers:
            if find_spec(PACKAGES[logger]) is None:
                msg = f"--loggers {logger}: expected the package {PACKAGES[logger]!r}, found none. Install it first."
                raise SettingsError(msg)

    def lightning_precision(self, device: torch.device, *, mixed: bool) -> Any:
        """Return lightning's name for the arithmetic; `mixed` says whether the preset allows bfloat16."""
        if self.precision == "auto":
            return LIGHTNING_NAMES["bf16" if mixed and has_fast_bfloat16(device) else "fp32"]
        return LIGHTNING_NAMES[self.precision]

    def readers(self, device: torch.device) -> int:
        """Return how many processes read ahead."""
        if self.workers is not None or device.type != "cuda":
            return self.workers or 0
        return min(MOST_READERS, max(1, usable_cores() // started_as().a_node))

    def arithmetic(self, device: torch.device, *, mixed: bool) -> AbstractContextManager[object]:
        """Return lightning's arithmetic for what runs outside its loop."""
        dtypes = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
        dtype = dtypes.get(self.lightning_precision(device, mixed=mixed))
        return torch.autocast(device.type, dtype) if dtype else nullcontext()


DEFAULT_ENGINE = Engine()


@dataclass(frozen=True)
class Portion:
    """Which places of every batch a process takes, and how many at a time."""

    rank: int
    size: int
    at_once: int
    pieces: int
    """Of a process's share, one after the other."""

    def places(self, piece: int) -> range:
        """Return the places in the batch of one piece."""
        first = (piece * self.size + self.rank) * self.at_once
        return range(first, first + self.at_once)


def portion(batch: int, *, rank: int, size: int, at_once: int | None) -> Portion:
    """Share a batch out; what cannot be shared evenly is refused, for its mean would be another."""
    if batch % size:
        expected, better = "a number of processes that divides it", _nearest_divisor(batch, size)
        msg = f"A batch of {batch} scans: expected {expected}, got {size}. Start {better}."
        raise SettingsError(msg)
    share = batch // size
    chosen = min(at_once or share, share)
    if chosen < 1 or share % chosen:
        expected, better = (
            f"a divisor of {share}, a process's share of a batch",
            _nearest_divisor(share, max(chosen, 1)),
        )
        msg = f"--scans-at-once: expected {expected}, got {at_once}. Try {better}."
        raise SettingsError(msg)
    return Portion(rank, size, chosen, share // chosen)


def make_loggers(engine: Engine, folder: Path, stage: str) -> list[Any]:
    """Return lightning's loggers of one stage.

    MLflow writes to the server of MLFLOW_TRACKING_URI, or else into a database in the folder: it gave up plain files.
    """
    from lightning.pytorch import loggers

    makers = {
        "tensorboard": lambda: loggers.TensorBoardLogger(folder, name="tensorboard", version=stage),
        "wandb": lambda: loggers.WandbLogger(name=stage, save_dir=folder, project="neurolatent"),
        "mlflow": lambda: loggers.MLFlowLogger(
            experiment_name="neurolatent",
            run_name=stage,
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}"),
        ),
    }
    return [makers[name]() for name in engine.loggers]


def end_logging(engine: Engine) -> None:
    """End a stage's run: Weights & Biases keeps one open in the process, to which the next stage would be added."""
    if "wandb" in engine.loggers:
        import_module(PACKAGES["wandb"]).finish()


def _nearest_divisor(number: int, wanted: int) -> int:
    return max(divisor for divisor in range(1, min(number, wanted) + 1) if number % divisor == 0)
