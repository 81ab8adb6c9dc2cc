"""One cohort, one split, one model and its codes, opened together and checked against each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool
from numpy import ndarray

from neurolatent.analysis.certificate import Verdict, certify
from neurolatent.analysis.codes import Codes, open_codes, read_volumes, refuse_other_preprocessing
from neurolatent.analysis.generation import Autoencoder, Generator, LatentArray, Progress
from neurolatent.analysis.leakage import refuse_failed
from neurolatent.cohort.sidecar import Sidecar, read_sidecar
from neurolatent.cohort.splits import Split, read_split
from neurolatent.cohort.visits import Visit, read_visits
from neurolatent.errors import SettingsError
from neurolatent.model.presets import find_preset
from neurolatent.model.weights import Card, load_autoencoder, read_card
from neurolatent.shapes import FeatureArray, VolumeArray
from neurolatent.volume.cache import VolumeCache, open_cache
from neurolatent.volume.space import Grid
from neurolatent.workspace import ScanKey, Workspace

MaskArrays = Bool[ndarray, "scan i j k"]


@runtime_checkable
class Truth(Protocol):
    """What a simulated cohort knows about its people, and a real one never does."""

    def oracle(self, question: Literal["p_ad", "p_conversion", "age_years"] = "p_ad") -> dict[tuple[str, str], float]:
        """Probability of AD, or of conversion, or age, given all true volumes, by participant and session."""
        ...

    def volumes(self) -> Sequence[Mapping[str, str | float]]:
        """True volumes in mL, a row per visit: participant_id, session_id, months, intracranial_ml, …_ml."""
        ...

    def noise_free_volumes(
        self, moments: Sequence[tuple[str, float]], grid: Grid, *, scanner_months: float | None = None
    ) -> VolumeArray:
        """Images of (participant, months), at any time, without noise; in the contrast of then, or of a stated time."""
        ...


@dataclass(frozen=True)
class Study:
    """What every analysis reads."""

    workspace: Workspace
    run: str
    visits: tuple[Visit, ...]
    split: Split
    cache: VolumeCache
    codes: Codes
    card: Card
    truth: Truth | None
    sidecar: Sidecar
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: Progress | None = None
    slabs: int | None = None
    """In how many pieces the VAE works through a scan, on a GPU that cannot hold more; None: in one."""

    @cached_property
    def usable(self) -> tuple[Visit, ...]:
        """Scans that were preprocessed, by participant and time; a session's repeats follow its first scan."""
        present = frozenset(self.cache.keys)
        found = [visit for visit in self.visits if visit.key in present]
        return tuple(sorted(found, key=lambda visit: (visit.participant_id, visit.months, visit.run.zfill(4))))

    @cached_property
    def first_scans(self) -> dict[str, Visit]:
        """Each participant's first usable scan."""
        first: dict[str, Visit] = {}
        for visit in self.usable:
            first.setdefault(visit.participant_id, visit)
        return first

    @cached_property
    def test_subjects(self) -> frozenset[str]:
        """Everyone who is tested in some round, and has a usable scan."""
        tested = frozenset[str]().union(*(round_.test for round_ in self.split.rounds()))
        return tested.intersection(self.first_scans)

    def certify(self) -> Verdict:
        """Compare the test people with those each training stage has seen, and the volumes with what they saw."""
        verdict = certify(self.card, self.visits, self.test_subjects)
        same = self.cache.preprocessing == self.card.preprocessing
        if same and not self.card.registration:
            return verdict
        then = "before they saw some laid as these" if same else "and see brains laid otherwise"
        note = f"The weights learnt from brains laid by {self.card.registration}, {then}."
        return replace(verdict, reason=f"{verdict.reason} {note}")

    def load_model(self) -> Autoencoder:
        """Load the weights onto the study's device."""
        model, _ = load_autoencoder(self.workspace.model(self.run), device=self.device)
        model.use_slabs(self.slabs)
        return model

    def generator(self, *, steps: int | None = None) -> Generator:
        """Load the model for decoding with that many steps, by default the preset's own number."""
        return Generator(self.load_model(), self.device, self.sampling_steps if steps is None else steps, self.progress)

    @property
    def sampling_steps(self) -> int:
        """The preset's own number of steps, to the codes and back."""
        return find_preset(self.card.preset).sampling_steps

    @cached_property
    def held_out(self) -> VolumeCache | None:
        """Volumes made without a session which is to be filled in, where preprocessing was asked for them."""
        folder = self.workspace.held_out_cache(self.cache.grid.spacing_mm, self.cache.grid.view)
        if not folder.is_dir():
            return None
        found = open_cache(folder)
        return found if found.preprocessing == self.cache.preprocessing else None

    def rows(self, keys: Sequence[ScanKey]) -> list[int]:
        """Return the cache rows of scans."""
        return [self.cache.row(key) for key in keys]

    def volumes(self, keys: Sequence[ScanKey]) -> VolumeArray:
        """Read scans in single precision, those made without a session among them."""
        return np.concatenate([read_volumes(cache, [row]) for cache, row in self._places(keys)])

    def masks(self, keys: Sequence[ScanKey]) -> MaskArrays:
        """Read the scans' intracranial masks."""
        return np.stack([np.asarray(cache.masks[row]) for cache, row in self._places(keys)])

    def semantic(self, keys: Sequence[ScanKey], generator: Generator) -> FeatureArray:
        """Return y of scans: as written, encoded now for those made without a session."""
        written = set(self.codes.keys)
        unknown = [key for key in dict.fromkeys(keys) if key not in written]
        if not unknown:
            return self.codes.semantic_of(keys)
        encoded = dict(zip(unknown, generator.semantic(self.volumes(unknown)), strict=True))
        known = [key for key in dict.fromkeys(keys) if key not in encoded]
        encoded |= dict(zip(known, self.codes.semantic_of(known), strict=True)) if known else {}
        return np.stack([encoded[key] for key in keys])

    def _places(self, keys: Sequence[ScanKey]) -> list[tuple[VolumeCache, int]]:
        apart = self.held_out
        return [
            (apart, apart.row(key)) if apart and key in apart.keys else (self.cache, self.cache.row(key))
            for key in keys
        ]

    def noise(self, keys: Sequence[ScanKey], generator: Generator) -> LatentArray:
        """Return z_T of scans: as written where the steps agree, inferred now for the others."""
        known = set(self.codes.stochastic_keys) if self.codes.steps == generator.steps else set[ScanKey]()
        unknown = [key for key in dict.fromkeys(keys) if key not in known]
        inferred: dict[ScanKey, np.ndarray] = {}
        if unknown:
            semantic = self.semantic(unknown, generator)
            inferred = dict(zip(unknown, generator.infer_noise(self.volumes(unknown), semantic), strict=True))
        written = [key for key in dict.fromkeys(keys) if key in known]
        if written:
            inferred |= dict(zip(written, self.codes.stochastic_of(written), strict=True))
        return np.stack([inferred[key] for key in keys])


def open_study(
    workspace: Workspace,
    *,
    run: str,
    device: torch.device | None = None,
    progress: Progress | None = None,
    slabs: int | None = None,
) -> Study:
    """Open what the steps before left, and refuse what does not belong together or has leaked."""
    refuse_failed(workspace, run=run)
    card = read_card(workspace.model(run))
    preset = find_preset(card.preset)
    cache = open_cache(workspace.cache(preset.spacing_mm, preset.view))
    refuse_other_preprocessing(cache, card)
    codes = open_codes(workspace.codes(run))
    command = f"Run `neurolatent encode {workspace.root} --run {run}` again."
    _refuse_other(workspace.codes(run), "weights", card.weights_hash, codes.weights_hash, command)
    _refuse_other(workspace.codes(run), "volume cache", cache.hash, codes.cache_hash, command)
    sidecar = read_sidecar(workspace.visits_json)
    return Study(
        workspace=workspace,
        run=run,
        visits=read_visits(workspace.visits_tsv),
        split=read_split(workspace.split_json),
        cache=cache,
        codes=codes,
        card=card,
        truth=_open_truth(sidecar),
        sidecar=sidecar,
        device=device or torch.device("cpu"),
        progress=progress,
        slabs=slabs,
    )


def settle_steps(settings: Any, study: Study) -> Any:
    """Write the preset's own number of steps into an analysis's settings that leave it open."""
    leaves_open = "steps" in vars(settings) and settings.steps is None
    return replace(settings, steps=study.sampling_steps) if leaves_open else settings


def _open_truth(sidecar: Sidecar) -> Truth | None:
    folder = Path(sidecar.source_root)
    if sidecar.members:  # In a pool nobody is called as in the truth.
        return None
    if not sidecar.simulation or not (folder / "truth").is_dir():
        return None
    from neurolatent.phantom.truth import PhantomTruth

    return PhantomTruth.open(folder)


def _refuse_other(folder: Path, what: str, expected: str, got: str, command: str) -> None:
    if expected != got:
        msg = f"{folder}: made from another {what} (expected {expected[:12]}, got {got[:12]}). {command}"
        raise SettingsError(msg)
