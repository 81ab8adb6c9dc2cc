"""The commands: each is a dataclass, its fields are its options, and `run` returns the exit status."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, subcommand

from neurolatent import pipeline, steps
from neurolatent.cohort.options import BuildOptions
from neurolatent.cohort_commands import Cohort
from neurolatent.console import progress_bars, say, tell
from neurolatent.device import DeviceName, usable_cores
from neurolatent.model_commands import Cost, Encode, ImportLDAE, Train, WorkspacePath


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
        return tell(outcome, as_json=self.json)


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
    slabs: int | None = None
    """Let the VAE work through one scan at a time in so many slabs, on a GPU that cannot hold more; try 4."""
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
                slabs=self.slabs,
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
class Share:
    """Put into a new folder what may be handed on: the report and its tables, people under random identifiers.

    The key to the identifiers stays in the workspace. Weights and samples go along only where the cohorts' terms allow.
    """

    workspace: Positional[WorkspacePath]
    """Folder with findings, which stays private."""
    folder: Positional[Annotated[Path, tyro.conf.arg(metavar="FOLDER")]]
    """A new folder."""
    run_name: Annotated[str, tyro.conf.arg(name="run")] = "demo"
    """Name of the model."""
    weights: bool = False
    """Hand on the weights too, with a card that names no person."""
    samples: int = 0
    """Hand on so many brains of nobody, drawn by the model."""
    seed: int = 1
    """Of the samples."""
    device: DeviceName = "auto"
    """Where samples are drawn."""

    def run(self) -> int:
        """Write the folder and list it."""
        from neurolatent.sharing import Wanted, share
        from neurolatent.workspace import Workspace

        wanted = Wanted(self.weights, self.samples, self.seed)
        workspace = Workspace(self.workspace)
        with progress_bars() as progress, workspace.lock():
            files = share(
                workspace, self.folder, run=self.run_name, wanted=wanted, device=self.device, progress=progress
            )
        for path in files:
            say(f"{path}")
        say(f"Who is who: {workspace.sharing_key_tsv}, which is private.")
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
    weights: Path | None = None
    """Use this folder's trained weights of the preset instead of training."""
    seed: int = 1
    """Of every draw."""
    jobs: int = field(default_factory=usable_cores)
    """Processes at a time."""
    device: DeviceName = "auto"
    """Where to compute."""
    options: BuildOptions = field(default_factory=BuildOptions)

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
                weights=self.weights,
                options=self.options,
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
    | Annotated[Share, subcommand("share")]
    | Annotated[Cost, subcommand("cost")]
    | Annotated[ImportLDAE, subcommand("import-ldae")]
)
