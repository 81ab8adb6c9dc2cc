"""The whole line in one call: a study of a cohort, and the demo, which is a study of a phantom."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neurolatent import cohort_steps, model_steps, steps
from neurolatent.cohort.options import NO_OPTIONS, BuildOptions
from neurolatent.console import Outcome, progress_bars, say
from neurolatent.device import DeviceName, usable_cores
from neurolatent.errors import NotApplicableError
from neurolatent.progress import Progress

DEMO_SEED = 1
DEMO_FOLDS = 5
DEMO_PHANTOM = cohort_steps.PhantomSettings(subjects=80, visits=3)
DEMO_RAW = cohort_steps.PhantomSettings(subjects=80, visits=2, space="raw", people=(0, 1))
"""The first two people of the same phantom, as raw heads at two visits each."""


@dataclass(frozen=True)
class StudySettings:
    """What a study needs to be told."""

    name: str
    source: Path | None = None
    out: Path | None = None
    preset: str = model_steps.SHIPPED_RUN
    max_minutes: float | None = None
    shipped: bool = False
    weights: Path | None = None
    """Folder of a trained model to use instead of training one."""
    options: BuildOptions = NO_OPTIONS
    folds: int | None = None
    every_scan: bool = False
    """Infer the stochastic code of every scan, not of each person's first alone."""
    phantom: cohort_steps.PhantomSettings | None = None
    seed: int = 1
    jobs: int | None = None
    device: DeviceName = "auto"


def run_study(settings: StudySettings, *, preprocessing: Path | None = None) -> int:
    """Run every step of the line; return 1 where a scan failed on the way, else 0."""
    root = settings.out or Path("out") / settings.name
    jobs = settings.jobs or usable_cores()
    with progress_bars() as progress:
        built = cohort_steps.build(
            settings.name,
            settings.source,
            out=root,
            folds=settings.folds,
            seed=settings.seed,
            options=settings.options,
            phantom=settings.phantom,
            jobs=jobs,
            progress=progress,
        )
        _say_all(built)
        with _timed("Preprocessing"):
            prepared = steps.preprocess(root, preset=settings.preset, jobs=jobs, progress=progress)
            write_quality(root)
        _say_all(prepared)
        with _timed("Model"):
            _make_model(root, settings, progress)
        with _timed("Codes"):
            model_steps.encode(
                root,
                run=settings.preset,
                every_scan=settings.every_scan,
                device=settings.device,
                progress=progress,
            )
        _run_protocols(root, settings, progress)
        with _timed("Report"):
            _report(root, settings, preprocessing)
    return int(built.failed or prepared.failed)


def run_demo(out: Path, *, train: bool = False, jobs: int | None = None, device: DeviceName = "auto") -> int:
    """Study a phantom that the shipped weights have never met; with `train`, train on it from nothing instead."""
    raw = out / "raw"
    with progress_bars() as progress, _timed("Four raw heads"):
        _say_all(
            cohort_steps.build(
                "phantom", None, out=raw, fractions=(0.5, 0.0, 0.5), seed=DEMO_SEED, phantom=DEMO_RAW, progress=progress
            )
        )
        _say_all(steps.preprocess(raw, jobs=jobs, progress=progress))
        write_quality(raw)
    settings = StudySettings(
        name="phantom",
        out=out,
        shipped=not train,
        folds=None if train else DEMO_FOLDS,
        phantom=DEMO_PHANTOM,
        seed=DEMO_SEED,
        jobs=jobs,
        device=device,
    )
    return run_study(settings, preprocessing=raw)


def _make_model(root: Path, settings: StudySettings, progress: Progress) -> None:
    if settings.shipped:
        model_steps.install_shipped_weights(root, run=settings.preset)
        return
    if settings.weights:
        model_steps.install_weights(root, settings.weights, run=settings.preset)
        return
    model_steps.refuse_without_gpu(settings.preset, settings.device, accepted=False)
    say(model_steps.estimate_training(root, preset=settings.preset, device=settings.device))
    from neurolatent.report.training_pictures import draw_sheet  # matplotlib loads only here

    model_steps.train(
        root,
        preset=settings.preset,
        max_minutes=settings.max_minutes,
        seed=settings.seed,
        device=settings.device,
        draw=draw_sheet,
        progress=progress,
    )


def _run_protocols(root: Path, settings: StudySettings, progress: Progress) -> None:
    from neurolatent.analysis.protocols import PROTOCOLS

    for protocol in PROTOCOLS:
        try:
            with _timed(protocol):
                steps.run_protocol(
                    protocol, root, run=settings.preset, seed=settings.seed, device=settings.device, progress=progress
                )
        except NotApplicableError as reason:
            say(f"{protocol} does not apply: {reason}")


def write_quality(root: Path) -> None:
    """Write the page on which a person looks at every preprocessed scan."""
    from neurolatent.report.quality_page import write_page  # Jinja2 loads only here
    from neurolatent.workspace import Workspace

    write_page(Workspace(root))


def _report(root: Path, settings: StudySettings, preprocessing: Path | None) -> None:
    from neurolatent.report import write_report  # matplotlib and typst load only here

    for path in write_report(root, run=settings.preset, preprocessing=preprocessing):
        say(f"{path}")


def _say_all(outcome: Outcome) -> None:
    for line in outcome.lines:
        say(line)


@contextmanager
def _timed(what: str) -> Generator[None]:
    """Say how long a step took; a step that fails says nothing here."""
    start = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - start:.0f} s")
