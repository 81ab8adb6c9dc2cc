"""A cohort of synthetic brains whose every cause is known, and a linear model that encodes them exactly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from neurolatent.analysis.codes import encode
from neurolatent.analysis.finding import Estimate, Finding
from neurolatent.analysis.study import Study
from neurolatent.cohort.sidecar import Counts, Sidecar
from neurolatent.cohort.splits import make_split, read_split, write_split
from neurolatent.cohort.visits import Visit, write_visits
from neurolatent.model.autoencoder import NoiseStatistics
from neurolatent.model.weights import Card, StageRecord
from neurolatent.volume.cache import write_cache
from neurolatent.volume.space import Grid
from neurolatent.workspace import Workspace

GRID = Grid(6.0)
FACTORS = 6
"""Age, disease, and four that differ between people."""
NOISE = 0.02
MONTHS = (0.0, 6.0, 12.0, 24.0)


@dataclass(frozen=True)
class Person:
    """Who a synthetic person is, and how fast the disease goes on."""

    name: str
    age_years: float
    diagnosis: str
    traits: np.ndarray
    rate: float

    def factors(self, months: float) -> np.ndarray:
        """Age in decades around 70, disease, traits: all linear in time."""
        age = (self.age_years + months / 12 - 70) / 10
        disease = (1.5 if self.diagnosis == "AD" else 0.0) + self.rate * months / 12
        return np.array([age, disease, *self.traits])


class SyntheticTruth:
    """Answers what only a simulation can."""

    def __init__(self, people: Sequence[Person], patterns: Tensor, mask: np.ndarray) -> None:
        self.people = {person.name: person for person in people}
        self.patterns, self.mask = patterns, mask

    def volumes(self) -> list[dict[str, str | float]]:
        return []

    def oracle(self, question: str = "p_ad") -> dict[tuple[str, str], float]:
        if question == "age_years":
            return {(n, f"ses-M{m:02.0f}"): 70.0 for n in self.people for m in MONTHS}
        chances = {"AD": 0.9, "CN": 0.1}
        return {(n, f"ses-M{m:02.0f}"): chances[p.diagnosis] for n, p in self.people.items() for m in MONTHS}

    def noise_free_volumes(
        self, moments: Sequence[tuple[str, float]], grid: Grid, *, scanner_months: float | None = None
    ) -> np.ndarray:
        factors = [self.people[participant_id].factors(months) for participant_id, months in moments]
        return np.stack([render(of_one, self.patterns, self.mask) for of_one in factors])


class LinearModel:
    """Reads the factors from an image by least squares, mixes them into a code, and rebuilds the image from it."""

    slabs = None

    def __init__(self, patterns: Tensor, mask: np.ndarray, *, blind: bool = False) -> None:
        self.patterns, self.mask = patterns, torch.from_numpy(mask)
        self.mixing = torch.randn(FACTORS, FACTORS, generator=torch.Generator().manual_seed(7))
        self.blind = blind

    def compress(self, volume: Tensor) -> Tensor:
        return (volume - base_image()) * 10

    def decompress(self, latent: Tensor) -> Tensor:
        return (latent / 10 + base_image()).clamp(0, 1)

    def encode_semantic(self, volume: Tensor) -> Tensor:
        flat = self.compress(volume).flatten(1) / 10
        factors = torch.linalg.lstsq(self.patterns.flatten(1).T, flat.T).solution.T
        if self.blind:
            factors = torch.randn(factors.shape, generator=torch.Generator().manual_seed(int(flat.abs().sum() * 1e3)))
        return factors @ self.mixing

    def encode_stochastic(self, latent: Tensor, code: Tensor, *, steps: int) -> Tensor:
        return (latent - self._from_code(code)) / self.residual_scale

    def decode(self, code: Tensor, stochastic: Tensor, *, steps: int) -> Tensor:
        return self._from_code(code) + stochastic * self.residual_scale

    def draw_noise(self, count: int, *, seed: int) -> Tensor:
        noise = torch.randn(count, 1, *GRID.shape, generator=torch.Generator().manual_seed(seed))
        return noise * self.mask

    def noise_statistics(self, stochastic: Tensor) -> NoiseStatistics:
        inside = stochastic[:, :, self.mask]
        return NoiseStatistics(float(inside.mean()), float(inside.std()), 0.0)

    residual_scale = NOISE * 10

    def _from_code(self, code: Tensor) -> Tensor:
        factors = code @ torch.linalg.inv(self.mixing)
        return 10 * torch.einsum("nf,fijk->nijk", factors, self.patterns)[:, None]


@dataclass(frozen=True)
class SyntheticStudy(Study):
    """A study whose model is in memory."""

    model: LinearModel | None = None

    def load_model(self) -> LinearModel:
        assert self.model is not None
        return self.model


@cache
def ball() -> np.ndarray:
    axes = [np.arange(n) - (n - 1) / 2 for n in GRID.shape]
    return sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")) < 13**2


@cache
def base_image() -> Tensor:
    texture = smooth_fields(1, ball(), seed=3)[0]
    return torch.from_numpy(ball()).float() * (0.5 + 0.1 * texture)


def smooth_fields(count: int, mask: np.ndarray, *, seed: int, width: int = 7) -> Tensor:
    """Smooth random fields of unit spread inside the mask."""
    noise = torch.randn(count, 1, *GRID.shape, generator=torch.Generator().manual_seed(seed))
    fields = functional.avg_pool3d(noise, width, stride=1, padding=width // 2)[:, 0] * torch.from_numpy(mask)
    return fields / fields[:, torch.from_numpy(mask)].std(1)[:, None, None, None]


def render(factors: np.ndarray, patterns: Tensor, mask: np.ndarray) -> np.ndarray:
    image = base_image() + torch.einsum("f,fijk->ijk", torch.from_numpy(factors).float(), patterns)
    return (image.clamp(0, 1) * torch.from_numpy(mask)).numpy()


def draw_people(count: int, *, healthy: bool) -> list[Person]:
    rng = np.random.default_rng(11)
    return [
        Person(
            name=f"sub-{index:03d}",
            age_years=float(rng.uniform(55, 85)),
            diagnosis="AD" if index % 2 and not healthy else "CN",
            traits=rng.normal(size=FACTORS - 2),
            rate=float(rng.uniform(0.2, 0.6)) if index % 2 and not healthy else 0.0,
        )
        for index in range(count)
    ]


def visits_of(person: Person, months: Sequence[float], diagnosis: str | None) -> list[Visit]:
    return [
        Visit(
            participant_id=person.name,
            session_id=f"ses-M{month:02.0f}",
            run="1",
            months=month,
            age_years=person.age_years + month / 12,
            age_precision_years=None,
            sex="F",
            diagnosis=diagnosis,  # pyright: ignore[reportArgumentType]
            dx_rule=None,
            site="one",
            scanner_tesla=3.0,
            cohort="synthetic",
            mask_source="given",
            image=f"{person.name}_{month:02.0f}.nii.gz",
        )
        for month in months
    ]


def stage(people: Sequence[str], *, supervised: bool = False, cohort: str = "synthetic") -> StageRecord:
    return StageRecord(
        subjects=tuple((cohort, name) for name in people),
        subjects_hash="0",
        validation_subjects=(),
        supervised=supervised,
        steps=1,
        planned_steps=1,
        seconds=1.0,
        metrics={},
    )


def make_card(stages: dict[str, StageRecord]) -> Card:
    return Card(
        preset="demo",
        settings={},
        architecture="a",
        preprocessing="p",
        latent_scale=1.0,
        stages=stages,
        files={},
        weights_hash="w" * 64,
        versions={},
        licence="",
        seed=1,
    )


def make_sidecar(root: Path, *, simulation: bool) -> Sidecar:
    return Sidecar(
        cohort="synthetic",
        title="Synthetic",
        simulation=simulation,
        source_root=root,
        sources=(),
        columns={},
        exclusions=(),
        counts=Counts(0, 0, 0, 0, 0),
        expected_participants=None,
        expected_scans=None,
        diagnosis_rule="",
        diagnosis_source="",
        licence="",
        licence_url=None,
        apply="",
        citation="",
        descriptor_hash="",
        visits_hash="",
    )


def make_study(
    root: Path,
    *,
    people: int = 48,
    months: Sequence[float] = MONTHS,
    folds: int | None = 3,
    healthy: bool = False,
    truth: bool = True,
    labelled: bool = True,
    blind: bool = False,
) -> SyntheticStudy:
    """Write a whole workspace; `blind` gives codes that are noise."""
    workspace, mask = Workspace(root), ball()
    patterns = smooth_fields(FACTORS, mask, seed=5) * 0.03
    drawn = draw_people(people, healthy=healthy)
    visits = [visit for person in drawn for visit in visits_of(person, months, person.diagnosis if labelled else None)]
    by_name, rng = {person.name: person for person in drawn}, np.random.default_rng(13)

    def scans():
        for visit in visits:
            clean = render(by_name[visit.participant_id].factors(visit.months), patterns, mask)
            noisy = np.clip(clean + NOISE * rng.normal(size=clean.shape), 0, 1) * mask
            yield visit.key, noisy, mask, visit.image

    cache = write_cache(workspace.cache(6.0), scans(), count=len(visits), grid=GRID, preprocessing="p")
    write_visits(workspace.visits_tsv, visits)
    write_split(workspace.split_json, make_split(visits, seed=1, folds=folds))
    card, model = make_card({"vae": stage(["sub-elsewhere"])}), LinearModel(patterns, mask, blind=blind)
    codes = encode(cache, model, card, workspace.codes("demo"), steps=4, device=torch.device("cpu"))
    return SyntheticStudy(
        workspace=workspace,
        run="demo",
        visits=tuple(visits),
        split=read_split(workspace.split_json),
        cache=cache,
        codes=codes,
        card=card,
        truth=SyntheticTruth(drawn, patterns, mask) if truth else None,
        sidecar=make_sidecar(root, simulation=truth),
        model=model,
    )


def find(finding: Finding, model: str, name: str, group: str = "all") -> Estimate:
    """Return the one row of that model and name."""
    (row,) = (e for e in finding.estimates if (e.model, e.name, e.group) == (model, name, group))
    return row


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    """48 people, half with AD, four visits each, three folds, weights trained elsewhere."""
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def healthy_study(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    """40 healthy people, one scan each, a holdout, no truth: like a real cross-sectional cohort."""
    return make_study(
        tmp_path_factory.mktemp("healthy"), people=40, months=(0.0,), folds=None, healthy=True, truth=False
    )


@pytest.fixture(scope="session")
def blind_study(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    """The same people through a model whose codes are noise."""
    return make_study(tmp_path_factory.mktemp("blind"), months=(0.0,), blind=True)


@pytest.fixture(scope="session")
def make() -> Callable[..., SyntheticStudy]:
    """Make another study."""
    return make_study


@pytest.fixture(scope="session")
def row() -> Callable[..., Estimate]:
    """Find one row of a finding."""
    return find


@pytest.fixture
def with_stages(study: SyntheticStudy) -> Callable[[dict[str, StageRecord]], SyntheticStudy]:
    """Give the study a card with other stages."""
    return lambda stages: replace(study, card=replace(study.card, stages=stages))


@pytest.fixture(scope="session")
def make_stage() -> Callable[..., StageRecord]:
    """Make the record of a stage."""
    return stage
