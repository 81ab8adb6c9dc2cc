"""One workbench, one response and a few people for all tests of the phantom."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neurolatent.phantom import PhantomTruth, write_phantom
from neurolatent.phantom.parameters import GROUPS, PhantomParameters, load_parameters
from neurolatent.phantom.people import People, draw_people
from neurolatent.phantom.subject import Subject, make_subject
from neurolatent.phantom.workbench import Workbench, shared_workbench
from neurolatent.volume.template import template_maps

SEED = 11
ANATOMY = 0


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="session")
def parameters() -> PhantomParameters:
    return load_parameters()


@pytest.fixture(scope="session")
def seed() -> int:
    return SEED


@pytest.fixture(scope="session")
def crowd(parameters: PhantomParameters) -> People:
    return draw_people(parameters, seed=3, index=np.arange(4000), arm="balanced")


@pytest.fixture(scope="session", params=(1, 2, 3), ids=lambda seed: f"seed {seed}")
def groups(request: pytest.FixtureRequest, parameters: PhantomParameters) -> People:
    """2,500 people of each diagnosis group."""
    even = replace(parameters, mix=np.full(len(GROUPS), 1 / len(GROUPS)))
    equal = [replace(site, ad_odds=dict.fromkeys(site.ad_odds, 1.0)) for site in parameters.sites]
    even = replace(even, sites=tuple(equal))
    return draw_people(even, seed=request.param, index=np.arange(10_000), arm="balanced")


@pytest.fixture(scope="session")
def bench() -> Workbench:
    return shared_workbench(template_maps(), "cpu")


@pytest.fixture(scope="session")
def numbers(parameters: PhantomParameters) -> list[int]:
    """People of one anatomy, so that only one has to be built: a control first, then one with AD, then others."""
    drawn = draw_people(parameters, seed=SEED, index=np.arange(60), arm="balanced")
    same = drawn.anatomy == ANATOMY
    control, patient = (int(np.flatnonzero(same & (drawn.group == group))[0]) for group in (0, 3))
    others = [int(row) for row in np.flatnonzero(same) if row not in (control, patient)]
    return [control, patient, *others]


@pytest.fixture(scope="session")
def subjects(bench: Workbench, parameters: PhantomParameters, numbers: list[int]) -> list[Subject]:
    drawn = draw_people(parameters, seed=SEED, index=np.array(numbers[:3]), arm="balanced")
    with torch.inference_mode():
        return [make_subject(bench, parameters, drawn, row) for row in range(3)]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, numbers: list[int]) -> Path:
    """A control and a patient with two visits each, at 8 mm."""
    folder = tmp_path_factory.mktemp("phantom") / "tiny"
    write_phantom(folder, subjects=60, people=numbers[:2], visits=2, seed=SEED, spacing_mm=8.0, repeats=1.0)
    return folder


@pytest.fixture(scope="session")
def truth(tiny: Path) -> PhantomTruth:
    return PhantomTruth.open(tiny)
