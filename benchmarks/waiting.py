"""Measure which share of a training's time goes into waiting for the reader of scans.

Run:    python benchmarks/waiting.py
Cost:   a few minutes on two quiet cores, half an hour on two that others share, for 3 × 2 × 40 steps
Expect: below 5 % in every stage, without readers of their own and with two
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro

from neurolatent.cohort.splits import read_split
from neurolatent.console import progress_bars
from neurolatent.device import DeviceName, pick_device
from neurolatent.model.presets import Preset, StageLength, find_preset
from neurolatent.model.weights import Card
from neurolatent.training import stages
from neurolatent.training.engine import Engine
from neurolatent.volume.cache import VolumeCache, open_cache
from neurolatent.workspace import Workspace


@dataclass(frozen=True)
class Waiting:
    """What is trained for a while."""

    workspace: Path = Path("out/weights")
    """A workspace with a volume cache, such as `train_demo_weights.py` leaves."""
    preset: str = "demo"
    """Whose networks and batches."""
    steps: int = 40
    """Of each stage."""
    scans: int = 80
    """Scans to learn from; the first so many of the training people's."""
    workers: tuple[int, ...] = (0, 2)
    """Numbers of reading processes to try."""
    device: DeviceName = "auto"
    """Where to compute."""


def main(settings: Waiting) -> None:
    """Train briefly with each number of readers, and print a table."""
    preset = find_preset(settings.preset)
    workspace = Workspace(settings.workspace)
    cache = open_cache(workspace.cache(preset.spacing_mm, preset.view))
    rows = cache.rows_of(read_split(workspace.split_json).training_subjects())[: settings.scans]
    lengths = [replace(length, steps=settings.steps) for length in (preset.vae, preset.denoiser, preset.autoencoder)]
    short = replace(preset, **dict(zip(("vae", "denoiser", "autoencoder"), lengths, strict=True)))
    print(f"{settings.steps} steps a stage on {len(rows)} scans, {torch.get_num_threads()} threads")
    print("| stage | scans a step | readers | seconds | waiting |\n|---|---|---|---|---|")
    for workers in settings.workers:
        card = _train(cache, rows, short, Engine(workers=workers), settings)
        for (stage, record), length in zip(card.stages.items(), lengths, strict=True):
            print(_row(stage, length, workers, record.seconds, record.waiting_share), flush=True)


def _row(stage: str, length: StageLength, workers: int, seconds: float, share: float) -> str:
    return f"| {stage} | {length.batch} | {workers} | {seconds:.1f} | {100 * share:.2f} % |"


def _train(cache: VolumeCache, rows: list[int], preset: Preset, engine: Engine, settings: Waiting) -> Card:
    with tempfile.TemporaryDirectory() as folder, progress_bars() as progress:
        return stages.train(
            cache,
            Path(folder),
            preset=preset,
            training_rows=rows,
            validation_rows=[],
            cohort="benchmark",
            seed=1,
            device=pick_device(settings.device),
            progress=progress,
            engine=engine,
        )


if __name__ == "__main__":
    main(tyro.cli(Waiting))
