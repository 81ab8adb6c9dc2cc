"""What one training is asked to do, and what it leaves on disk to be found again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from neurolatent.model.presets import Preset
from neurolatent.model.published.imagenet import hash_imagenet
from neurolatent.model.weights import WORK_FOLDER, Person, StageRecord, read_card, read_record
from neurolatent.progress import Progress
from neurolatent.provenance import hash_file, hash_settings, read_json
from neurolatent.training.batches import Augment
from neurolatent.training.crew import ALONE, Crew
from neurolatent.training.engine import DEFAULT_ENGINE, Engine
from neurolatent.training.pictures import Draw
from neurolatent.training.plan import stage_length
from neurolatent.volume.cache import VolumeCache

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Run:
    """What one training is asked to do."""

    cache: VolumeCache
    folder: Path
    preset: Preset
    training_rows: tuple[int, ...]
    validation_rows: tuple[int, ...]
    cohort: str
    seed: int
    device: torch.device
    max_minutes: float | None
    initial: Path | None
    progress: Progress | None
    checkpoint_seconds: float
    augment: Augment | None = None
    engine: Engine = DEFAULT_ENGINE
    crew: Crew = ALONE
    draw: Draw | None = None
    perceptual: Path | None = None
    """ImageNet weights for the VAE's perceptual loss."""
    imagenet: Path | None = None
    """ImageNet weights from which the published semantic encoder starts."""
    persons: Mapping[str, Person] = field(default_factory=dict[str, Person])
    """Participant → who that is in other workspaces too, where it is not (cohort, participant_id)."""

    @property
    def work(self) -> Path:
        """Checkpoints, latents and logs, of no use once the card is written but to see how it went."""
        return self.folder / WORK_FOLDER

    def people(self, rows: Sequence[int]) -> tuple[Person, ...]:
        """Return who is in these rows."""
        participants = {self.cache.keys[row].participant_id for row in rows}
        return tuple(sorted({self.persons.get(name, (self.cohort, name)) for name in participants}))

    def fingerprint(self) -> str:
        """Hash what all stages depend on; what each needs beside it is its own matter."""
        keys = [[list(self.cache.keys[row]) for row in rows] for rows in (self.training_rows, self.validation_rows)]
        initial = read_card(self.initial).weights_hash if self.initial else None
        # What is not asked for leaves a run what it always was.
        asked: list[object] = [dict(self.augment.describe())] if self.augment else []
        asked += [{"perceptual": hash_imagenet(self.perceptual)}] if self.perceptual else []
        asked += [{"imagenet": hash_imagenet(self.imagenet)}] if self.imagenet else []
        return hash_settings([FORMAT_VERSION, self.cache.hash, self.cohort, keys, self.seed, initial, *asked])


def finished_record(run: Run, stage: str, inputs: str) -> StageRecord | None:
    """Return the record of a stage that was trained from the same inputs and whose file is as it was left."""
    path, weights = run.work / f"{stage}.json", run.folder / f"{stage}.safetensors"
    if not path.is_file() or not weights.is_file():
        return None
    content = read_json(path)
    matches = content["inputs"] == inputs and content["file"] == hash_file(weights)
    return read_record(content["record"]) if matches else None


@dataclass(frozen=True)
class Fitted:
    """How a stage went."""

    seconds: float
    """In all processes that followed one another."""
    steps: int
    """After which the weights were taken: fewer than planned where it stopped early."""
    waiting_share: float
    """Of the time, for the reader."""


def record_stage(run: Run, stage: str, fitted: Fitted, *, metrics: Mapping[str, float]) -> StageRecord:
    """Say whom the stage has seen: its own people, and those of the weights it started from."""
    inherited = read_card(run.initial).stages[stage] if run.initial else None
    subjects = {*run.people(run.training_rows), *(inherited.subjects if inherited else ())}
    validation = {*run.people(run.validation_rows), *(inherited.validation_subjects if inherited else ())}
    ordered = tuple(sorted(subjects))
    return StageRecord(
        subjects=ordered,
        subjects_hash=hash_settings([list(person) for person in ordered]),
        validation_subjects=tuple(sorted(validation)),
        supervised=False,
        steps=fitted.steps,
        planned_steps=stage_length(run.preset, stage).steps,
        seconds=round(fitted.seconds, 1),
        metrics=metrics,
        waiting_share=round(fitted.waiting_share, 4),
    )
