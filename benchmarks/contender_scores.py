"""What one trained contender of `constructions.py` is worth: likeness, what a probe reads, speed."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contenders import DEVICE

from neurolatent.analysis.generation import Generator
from neurolatent.analysis.likeness import score
from neurolatent.analysis.probes import fit_age, fit_classifier
from neurolatent.analysis.selection import ages, draw_people, stable_controls, subjects
from neurolatent.cohort.splits import Split, read_split
from neurolatent.cohort.visits import Visit, read_visits
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import Preset
from neurolatent.model.weights import load_autoencoder, read_card
from neurolatent.shapes import VolumeArray
from neurolatent.volume.cache import VolumeCache, open_cache
from neurolatent.workspace import Workspace

SEED = 1
REPEATS, TIMED_SCANS = 3, 4
AUTOENCODED, REBUILT = "VAE", "y + z_T"


@dataclass(frozen=True)
class People:
    """The scans of a workspace; each person's first counts."""

    cache: VolumeCache
    visits: Sequence[Visit]
    split: Split

    def chosen(self, people: frozenset[str]) -> list[Visit]:
        """Return the first scan in the cache of each of these people."""
        present, first = frozenset(self.cache.keys), dict[str, Visit]()
        for visit in sorted(self.visits, key=lambda visit: (visit.participant_id, visit.months, visit.run)):
            if visit.participant_id in people and visit.key in present:
                first.setdefault(visit.participant_id, visit)
        return list(first.values())

    def volumes(self, scans: Sequence[Visit]) -> VolumeArray:
        """Read scans."""
        return np.stack([np.float32(self.cache.volumes[self.cache.row(scan.key)]) for scan in scans])

    def masks(self, scans: Sequence[Visit]) -> np.ndarray:
        """Read masks."""
        return np.stack([np.asarray(self.cache.masks[self.cache.row(scan.key)]) for scan in scans])


def open_people(root: Path, spacing_mm: float) -> People:
    """Open a preprocessed workspace."""
    workspace = Workspace(root)
    visits = read_visits(workspace.visits_tsv)
    return People(open_cache(workspace.cache(spacing_mm)), visits, read_split(workspace.split_json, visits=visits))


def evaluate(folder: Path, phantom: People, heads: People | None, *, rebuilt: int) -> dict[str, Any]:
    """Score a trained model on the phantom's test people and on real heads, of each so many rebuilt from z_T."""
    generator = _generator(load_autoencoder(folder, device=DEVICE)[0])
    tested = phantom.chosen(phantom.split.test_subjects())
    found: dict[str, Any] = {
        "phantom": _likeness(generator, phantom, tested, rebuilt=rebuilt),
        **_probes(generator, phantom, tested),
        "stages": {
            name: {"steps": stage.steps, "seconds": stage.seconds} for name, stage in read_card(folder).stages.items()
        },
    }
    if heads:
        everyone = heads.chosen(frozenset(visit.participant_id for visit in heads.visits))
        found["heads"] = _likeness(generator, heads, everyone, rebuilt=rebuilt)
    return found


def _likeness(
    generator: Generator, people: People, scans: Sequence[Visit], *, rebuilt: int
) -> dict[str, dict[str, float]]:
    """Return masked SSIM by person: of the VAE for all, of y and z_T for a draw of them."""
    drawn = frozenset(draw_people(subjects(scans), most=rebuilt, seed=SEED))
    few = [scan for scan in scans if scan.participant_id in drawn]
    volumes = people.volumes(few)
    codes = generator.semantic(volumes)
    both = generator.generate(codes, generator.infer_noise(volumes, codes), what=REBUILT)
    return {
        AUTOENCODED: _ssim(people, scans, generator.reconstruct(people.volumes(scans))),
        REBUILT: _ssim(people, few, both),
    }


def _ssim(people: People, scans: Sequence[Visit], predicted: VolumeArray) -> dict[str, float]:
    values = score(predicted, people.volumes(scans), people.masks(scans)).ssim
    return dict(zip(subjects(scans), [] if values is None else values.tolist(), strict=True))


def _probes(generator: Generator, people: People, tested: Sequence[Visit]) -> dict[str, Any]:
    """Fit both probes on the training people's codes, and ask them about the test people."""
    trained = people.chosen(people.split.training_subjects())
    codes = {
        scan.key: code
        for part in (trained, tested)
        for scan, code in zip(part, generator.semantic(people.volumes(part)), strict=True)
    }
    controls = stable_controls(people.visits).participants

    def features(scans: Sequence[Visit]) -> np.ndarray:
        return np.stack([codes[scan.key] for scan in scans])

    ill = [[scan for scan in part if scan.diagnosis in {"AD", "CN"}] for part in (trained, tested)]
    sick = [np.array([scan.diagnosis == "AD" for scan in part]) for part in ill]
    classes = fit_classifier(features(ill[0]), sick[0], subjects(ill[0]), seed=SEED)
    aged = [[scan for scan in part if scan.participant_id in controls] for part in (trained, tested)]
    years = fit_age(features(aged[0]), ages(aged[0]), subjects(aged[0]), seed=SEED)
    errors = np.abs(years.predict(features(aged[1])) - ages(aged[1]))
    mean_errors = np.abs(ages(aged[0]).mean() - ages(aged[1]))
    return {
        "ad": {
            "score": _by_person(ill[1], classes.probability(features(ill[1]))),
            "positive": _by_person(ill[1], sick[1]),
        },
        "age_error": _by_person(aged[1], errors),
        "age_error_of_mean": _by_person(aged[1], mean_errors),
    }


def _by_person(scans: Sequence[Visit], values: np.ndarray) -> dict[str, float]:
    return dict(zip(subjects(scans), values.tolist(), strict=True))


def time_passes(presets: Mapping[str, Preset], people: People) -> dict[str, dict[str, float]]:
    """Return the shortest seconds a scan of each pass, by contender, untrained; they take turns, for slow spells."""
    volumes = people.volumes(people.chosen(people.split.test_subjects())[:TIMED_SCANS])
    passes = {
        name: _passes(_generator(LatentDiffusionAutoencoder(preset)), volumes) for name, preset in presets.items()
    }
    rounds = [
        {name: {what: _seconds(action) for what, action in actions.items()} for name, actions in passes.items()}
        for _ in range(REPEATS)
    ]
    return {
        name: {what: min(one[name][what] for one in rounds) / len(volumes) for what in actions}
        for name, actions in passes.items()
    }


def _passes(generator: Generator, volumes: VolumeArray) -> dict[str, Callable[[], object]]:
    codes = generator.semantic(volumes)
    noise = generator.infer_noise(volumes, codes)

    tensors = torch.from_numpy(codes), torch.from_numpy(noise)

    def rebuild() -> None:
        found = generator.semantic(volumes)
        generator.generate(found, generator.infer_noise(volumes, found), what=REBUILT)

    return {
        "encode to y": lambda: generator.semantic(volumes),
        "decode": lambda: generator.generate(codes, noise, what="decode"),
        "reconstruct": rebuild,
        "a step of the decoder": lambda: generator.model.decode(*tensors, steps=1),
    }


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _generator(model: LatentDiffusionAutoencoder) -> Generator:
    return Generator(model.eval(), DEVICE, model.preset.sampling_steps, batch_scans=TIMED_SCANS)
