"""The commands: each is a dataclass, its fields are its options, and `run` returns the exit status."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, subcommand

from neurolatent import pipeline, steps
from neurolatent.console import progress_bars, say
from neurolatent.device import DeviceName, usable_cores
from neurolatent.model_commands import Cost, Encode, ImportLDAE, Train, WorkspacePath

FAILED = 1


@dataclass(frozen=True)
class Build:
    """Read a source folder into WORKSPACE/visits.tsv and freeze a split by subject."""

    name: Positional[Annotated[str, tyro.conf.arg(metavar="NAME")]]
    """A cohort of `neurolatent cohort list`, or the path of a descriptor."""
    source: Positional[Annotated[Path | None, tyro.conf.arg(metavar="SOURCE")]] = None
    """Folder of the cohort as downloaded; the phantom makes its own."""
    out: Path | None = None
    """The workspace; out/NAME where not given."""
    folds: int | None = None
    """Split into this many folds, instead of train, validation and test."""
    fractions: tuple[float, float, float] = steps.FRACTIONS
    """Of people: train, validation, test."""
    seed: int = 1
    """Of the split, and of the phantom's people."""
    json: bool = False
    """Print the outcome as JSON."""
    phantom: steps.PhantomSettings = field(default_factory=steps.PhantomSettings)

    def run(self) -> int:
        """Build, then say what was kept and what was not."""
        with progress_bars() as progress:
            outcome = steps.build(
                self.name,
                self.source,
                out=self.out,
                folds=self.folds,
                fractions=self.fractions,
                seed=self.seed,
                phantom=self.phantom,
                progress=progress,
            )
        return _tell(outcome, as_json=self.json)


@dataclass(frozen=True)
class List:
    """List the cohorts that can be built."""

    json: bool = False
    """Print as JSON."""

    def run(self) -> int:
        """Print one line per cohort."""
        cohorts = steps.list_cohorts()
        lines = [f"{name:<10} {title}" for name, title in cohorts.items()]
        print(json.dumps(cohorts) if self.json else "\n".join(lines))
        return 0


@dataclass(frozen=True)
class Split:
    """Freeze who trains and who tests; people already assigned keep their place."""

    workspace: Positional[WorkspacePath]
    """Folder made by `cohort build`."""
    folds: int | None = None
    """Number of folds; without it: train, validation and test."""
    fractions: tuple[float, float, float] = steps.FRACTIONS
    """Of people: train, validation, test."""
    leave_one_site_out: bool = False
    """Make each site a part, tested by what was fitted on the others; sites of fewer than ten people are one part."""
    seed: int = 1
    """Of the draw."""
    replace: bool = False
    """Throw an existing split away; every model and finding of the workspace must then be made again."""

    def run(self) -> int:
        """Split and say the counts."""
        say(
            steps.split(
                self.workspace,
                folds=self.folds,
                fractions=self.fractions,
                seed=self.seed,
                leave_one_site_out=self.leave_one_site_out,
                replace=self.replace,
            )
        )
        return 0


@dataclass(frozen=True)
class Pool:
    """Join built workspaces into a new one; a person's id then begins with the cohort's name."""

    workspaces: Positional[tuple[Path, ...]]
    """Folders made by `cohort build`, of different cohorts."""
    out: Path
    """The new workspace."""
    accept_diagnosis_rules: bool = False
    """Pool diagnoses that were reached in different ways; the sidecar then says so."""
    seed: int = 1
    """Of the split, where the members are not all split alike."""
    json: bool = False
    """Print the outcome as JSON."""

    def run(self) -> int:
        """Pool, then say what was joined and how it is split."""
        outcome = steps.pool(
            self.workspaces, self.out, seed=self.seed, accept_diagnosis_rules=self.accept_diagnosis_rules
        )
        return _tell(outcome, as_json=self.json)


@dataclass(frozen=True)
class Certify:
    """Say whether anybody who is tested was seen in training: by name, by image, or by a stage of a model."""

    workspace: Positional[WorkspacePath]
    """Folder with a split; preprocessed, so that images can be compared, and with the models to certify."""
    against: tuple[Path, ...] = ()
    """Other workspaces, from which people or models may have come."""
    json: bool = False
    """Print the certificate as JSON."""

    def run(self) -> int:
        """Certify; a failed certificate is a failure."""
        certification = steps.certify(self.workspace, against=self.against)
        if self.json:
            print(json.dumps(asdict(certification)))
        for line in () if self.json else certification.lines:
            say(line)
        return FAILED if certification.outcome == "failed" else 0


@dataclass(frozen=True)
class Cohort:
    """Cohorts: build, list, split, pool, certify."""

    action: (
        Annotated[Build, subcommand("build")]
        | Annotated[List, subcommand("list")]
        | Annotated[Split, subcommand("split")]
        | Annotated[Pool, subcommand("pool")]
        | Annotated[Certify, subcommand("certify")]
    )

    def run(self) -> int:
        """Run the action."""
        return self.action.run()


@dataclass(frozen=True)
class Preprocess:
    """Bring every scan to standard space, brain only, intensities in [0, 1]; finished scans are skipped."""

    workspace: Positional[WorkspacePath]
    """Folder made by `cohort build`."""
    preset: str = "demo"
    """Whose grid to use."""
    jobs: int = field(default_factory=usable_cores)
    """Processes at a time."""
    source: Path | None = None
    """Where the source folder is now, if it moved."""
    json: bool = False
    """Print the outcome as JSON."""
    options: steps.PreprocessSettings = field(default_factory=steps.PreprocessSettings)

    def run(self) -> int:
        """Preprocess and list what failed."""
        with progress_bars() as progress:
            outcome = steps.preprocess(
                self.workspace,
                preset=self.preset,
                options=self.options,
                jobs=self.jobs,
                source=self.source,
                progress=progress,
            )
        pipeline.write_quality(self.workspace)
        return _tell(outcome, as_json=self.json)


@dataclass(frozen=True)
class Run:
    """Run one protocol: an analysis with its baselines and intervals."""

    protocol: Positional[Annotated[str, tyro.conf.arg(metavar="PROTOCOL")]]
    """classify_ad, regress_age, fill_missing_visit, age_counterfactual or reconstruct."""
    workspace: Positional[WorkspacePath]
    """Folder with codes, made by `encode`."""
    run_name: Annotated[str, tyro.conf.arg(name="run")] = "demo"
    """Name of the model."""
    seed: int = 1
    """Of draws and resampling."""
    device: DeviceName = "auto"
    """Where to compute."""
    json: bool = False
    """Print the finding as JSON."""

    def run(self) -> int:
        """Run the protocol and print its rows."""
        with progress_bars() as progress:
            finding = steps.run_protocol(
                self.protocol,
                self.workspace,
                run=self.run_name,
                seed=self.seed,
                device=self.device,
                progress=progress,
            )
        print(json.dumps(asdict(finding)) if self.json else steps.describe_finding(finding))
        return 0


@dataclass(frozen=True)
class MakeReport:
    """Write report.html and report.pdf from what the workspace holds."""

    workspace: Positional[WorkspacePath]
    """Folder with findings."""
    run_name: Annotated[str, tyro.conf.arg(name="run")] = "demo"
    """Name of the model."""

    def run(self) -> int:
        """Write both files."""
        from neurolatent.report import write_report

        for path in write_report(self.workspace, run=self.run_name):
            say(f"{path}")
        return 0


@dataclass(frozen=True)
class Study:
    """The whole line: build, preprocess, train, encode, every protocol that applies, report."""

    name: Positional[Annotated[str, tyro.conf.arg(metavar="NAME")]]
    """A cohort of `neurolatent cohort list`."""
    source: Positional[Annotated[Path | None, tyro.conf.arg(metavar="SOURCE")]] = None
    """Folder of the cohort as downloaded."""
    out: Path | None = None
    """The workspace; out/NAME where not given."""
    preset: str = "demo"
    """Size of the networks and their grid."""
    max_minutes: float | None = None
    """Shorten the training to fit."""
    shipped: bool = False
    """Use the weights that ship with the package instead of training."""
    seed: int = 1
    """Of every draw."""
    jobs: int = field(default_factory=usable_cores)
    """Processes at a time."""
    device: DeviceName = "auto"
    """Where to compute."""

    def run(self) -> int:
        """Run every step; protocols that do not apply to the cohort say why."""
        return pipeline.run_study(
            pipeline.StudySettings(
                name=self.name,
                source=self.source,
                out=self.out,
                preset=self.preset,
                max_minutes=self.max_minutes,
                shipped=self.shipped,
                seed=self.seed,
                jobs=self.jobs,
                device=self.device,
            )
        )


@dataclass(frozen=True)
class Demo:
    """See the whole line on a phantom cohort, in minutes, on two cores."""

    out: Path = Path("out/demo")
    """The workspace."""
    train: bool = False
    """Train from nothing (about half an hour) instead of using the weights in the package."""
    jobs: int = field(default_factory=usable_cores)
    """Processes at a time."""
    device: DeviceName = "auto"
    """Where to compute."""

    def run(self) -> int:
        """Run the demo and say where the report is."""
        return pipeline.run_demo(self.out, train=self.train, jobs=self.jobs, device=self.device)


Command = (
    Annotated[Demo, subcommand("demo")]
    | Annotated[Study, subcommand("study")]
    | Annotated[Cohort, subcommand("cohort")]
    | Annotated[Preprocess, subcommand("preprocess")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Encode, subcommand("encode")]
    | Annotated[Run, subcommand("run")]
    | Annotated[MakeReport, subcommand("report")]
    | Annotated[Cost, subcommand("cost")]
    | Annotated[ImportLDAE, subcommand("import-ldae")]
)


def _tell(outcome: steps.Outcome, *, as_json: bool) -> int:
    """Print an outcome and turn it into an exit status."""
    if as_json:
        print(json.dumps(asdict(outcome)))
    else:
        for line in outcome.lines:
            say(line)
    return FAILED if outcome.failed else 0
