"""Brains of nobody, drawn by a model, each held against the scans it learnt from before it may leave."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurolatent.analysis.generation import Generator
from neurolatent.analysis.outcome import write_map
from neurolatent.errors import SettingsError
from neurolatent.model.weights import Card, Person
from neurolatent.volume.cache import VolumeCache
from neurolatent.volume.likeness import THRESHOLD, content_fingerprint, nearest

DREW = "Draw with another --seed, or train on more people: this model may have learnt single brains by heart."


@dataclass(frozen=True)
class Sample:
    """A drawn brain's file, and how like the likest scan it is: two people are alike by less than 0.9."""

    file: str
    likeness: float


def refuse_unknown_people(card: Card, present: frozenset[Person]) -> None:
    """Refuse to draw from a model that learnt from people whose scans are not here to be compared with."""
    met = {person for stage in card.stages.values() for person in (*stage.subjects, *stage.validation_subjects)}
    absent = len(met - present)
    if absent:
        got = f"got {absent} of {len(met)} whose scans are not here"
        expected = "expected a model of this workspace's own people"
        msg = f"--samples: {expected}, {got}: a copy of them could not be told. Draw where it was trained."
        raise SettingsError(msg)


def write_samples(folder: Path, generator: Generator, cache: VolumeCache, *, count: int, seed: int) -> list[Sample]:
    """Draw brains and write them as NIfTI; refuse where one is as like a scan of the cohort as one person's scans are.

    Weights can remember people: Dar et al. 2024 (arXiv:2402.01054) found copies among a latent diffusion model's
    samples. Held against all scans of this cohort, trained on or not.
    """
    drawn = generator.sample(generator.draw_noise(count, seed=seed))
    masks = np.array(cache.masks, dtype=bool)
    everyone = np.asarray(masks.any(axis=0))
    scans = [
        content_fingerprint(np.array(volume, dtype=np.float32), mask, cache.grid)
        for volume, mask in zip(cache.volumes, masks, strict=True)
    ]
    likest = nearest([content_fingerprint(volume, everyone, cache.grid) for volume in drawn], scans)
    if max(likest) >= THRESHOLD:
        expected = f"expected brains of nobody, alike to no scan by {THRESHOLD:g}"
        msg = f"--samples {count}: {expected}, got one alike by {max(likest):.2f}. {DREW}"
        raise SettingsError(msg)
    found: list[Sample] = []
    for number, (volume, value) in enumerate(zip(drawn, likest, strict=True), start=1):
        found.append(Sample(f"sample-{number:03d}.nii.gz", round(value, 3)))
        write_map(folder / found[-1].file, volume, cache.grid)
    return found
