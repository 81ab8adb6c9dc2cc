"""Pictures of how a stage does while it trains: by the averaged weights, of the same people every time.

Who draws is passed in, for this package knows no drawing library. Nothing here touches what is learnt: noise has
generators of its own, weights and modes are put back, and only the first process draws, without asking the others.
"""

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from numpy import ndarray
from torch import Tensor
from typing_extensions import override

from neurolatent.device import autocast
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.shapes import Affine, Volume, VoxelArray
from neurolatent.training.batches import Scans, read_volume
from neurolatent.training.validation import spread_evenly

MOST_SCANS, MOST_STEPS, SEED = 3, 10, 0
"""Scans or samples in a picture, its sampling steps, and the seed of its noise."""
SHARE = 20
"""A picture waits until training has taken so many times as long as the last picture did."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One volume of a sheet."""

    title: str
    volume: VoxelArray
    change: bool = False
    """Whether it is a difference, symmetric about 0, and not a brain in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """What is drawn: rows of volumes on one grid."""

    title: str
    rows: Mapping[str, Sequence[Cell]]
    world_from_voxel: Affine


@runtime_checkable
class Draw(Protocol):
    """Draws a sheet."""

    def __call__(self, sheet: Sheet, path: Path) -> UInt8[ndarray, "height width 3"]:
        """Write a PNG, whole or not at all, and return its pixels."""
        ...


@dataclass(frozen=True)
class Album:
    """Who draws which scans, how often, and where to."""

    draw: Draw
    scans: Scans
    whose: str
    """What the scans are called, such as `validation scan`."""
    folder: Path
    every_seconds: float


class Pictures(Callback):
    """Draw every so many seconds, but so that it costs at most a twentieth of the time, and after the last step."""

    def __init__(
        self,
        album: Album,
        model: LatentDiffusionAutoencoder,
        stage: str,
        *,
        average: WeightAveraging,
        first_step: int,
        pieces: int,
    ) -> None:
        self.album, self.model, self.stage, self.average, self.pieces = album, model, stage, average, pieces
        self.wait, self.left_at, self.drawn, self.possible = album.every_seconds, time.monotonic(), first_step, True
        if not first_step:
            for leftover in album.folder.glob(f"{stage}-step-*.png"):
                leftover.unlink()  # of another course

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw where it is due, with the average in place for so long."""
        if batch["piece"] < self.pieces - 1 or time.monotonic() - self.left_at < self.wait:
            return
        self.average.on_validation_epoch_start(trainer, pl_module)
        try:
            self._draw_if_possible(trainer)
        finally:
            self.average.on_validation_epoch_end(trainer, pl_module)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw once more; the average has replaced the weights by then."""
        if trainer.global_step > self.drawn:
            self._draw_if_possible(trainer)

    def _draw_if_possible(self, trainer: Trainer) -> None:
        """Draw, or say why not and draw no more: a picture is not worth a training, whatever goes wrong."""
        if not self.possible:
            return
        try:
            self._draw(trainer)
        except Exception as error:  # noqa: BLE001 - a full disk, a full GPU, any fault of a drawing library
            self.possible = False
            reason = str(error).partition("\n")[0]
            logging.getLogger(__name__).warning(
                "%s: expected to draw a picture, got %s (%s). The stage goes on without pictures.",
                self.album.folder,
                type(error).__name__,
                reason,
            )

    def _draw(self, trainer: Trainer) -> None:
        started_at, step, name = time.monotonic(), trainer.global_step, self.model.preset.name
        sheet = Sheet(
            f"{name}, {self.stage}, step {step} of {trainer.max_steps} (moving average of the weights)",
            make_rows(self.model, self.stage, self.album),
            self.album.scans.cache.grid.world_from_voxel,
        )
        pixels = self.album.draw(sheet, self.album.folder / f"{self.stage}-step-{step:06d}.png")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("picture", pixels, step, dataformats="HWC")
        self.drawn, self.left_at = step, time.monotonic()
        self.wait = max(self.album.every_seconds, SHARE * (self.left_at - started_at))


def make_rows(model: LatentDiffusionAutoencoder, stage: str, album: Album) -> dict[str, Sequence[Cell]]:
    """Compute a stage's rows, one scan at a time."""
    with at_rest(model):
        if stage == "denoiser":
            return {"z_T at random": _samples(model)}
        make, scans = ROWS[stage], album.scans
        chosen = [scans.rows[place] for place in spread_evenly(len(scans.rows), most=MOST_SCANS)]
        volumes = [read_volume(scans.cache, row)[None] for row in chosen]
        return {f"{album.whose} {number}": make(model, volume) for number, volume in enumerate(volumes, 1)}


@contextmanager
def at_rest(model: LatentDiffusionAutoencoder) -> Generator[None]:
    """Let the networks evaluate, each of which then is again in the mode in which it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _compression(model: LatentDiffusionAutoencoder, scan: Volume) -> Sequence[Cell]:
    volume = _own(model, scan)
    with autocast(model.device, enabled=model.preset.mixed_precision):
        decoded = model.vae.decode(model.vae.encode(volume).mean).clamp(0, 1)
    return (
        Cell("scan", _array(volume)),
        Cell("reconstruction", _array(decoded)),
        Cell("reconstruction − scan", _array(decoded - volume), change=True),
    )


def _samples(model: LatentDiffusionAutoencoder) -> Sequence[Cell]:
    noise = _own(model, model.draw_noise(MOST_SCANS, seed=SEED))
    volumes = [model.decompress(model.decode(None, one[None], steps=_steps(model))) for one in noise]
    return [Cell(f"sample {number}, of nobody", _array(volume)) for number, volume in enumerate(volumes, 1)]


def _representation(model: LatentDiffusionAutoencoder, scan: Volume) -> Sequence[Cell]:
    volume, steps = _own(model, scan), _steps(model)
    code = model.encode_semantic(volume)
    inferred = model.encode_stochastic(model.compress(volume), code, steps=steps)
    drawn = _own(model, model.draw_noise(1, seed=SEED))
    both, alone = (model.decompress(model.decode(code, noise, steps=steps)) for noise in (inferred, drawn))
    return (
        Cell("scan", _array(volume)),
        Cell("y with its own z_T", _array(both)),
        Cell("y with a random z_T", _array(alone)),
    )


ROWS: Mapping[str, Callable[[LatentDiffusionAutoencoder, Volume], Sequence[Cell]]] = {
    "vae": _compression,
    "autoencoder": _representation,
}


def _steps(model: LatentDiffusionAutoencoder) -> int:
    return min(model.preset.sampling_steps, MOST_STEPS)


def _own(model: LatentDiffusionAutoencoder, values: Tensor) -> Tensor:
    """Bring values to where the model is, as precise as its weights are."""
    return values.to(model.device, model.scaling.scale.dtype)


def _array(volume: Tensor) -> VoxelArray:
    return volume[0, 0].float().cpu().numpy()
