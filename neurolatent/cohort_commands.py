"""The commands about cohorts; each is a dataclass, its fields are its options, and `run` returns the exit status."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, subcommand

from neurolatent import cohort_steps
from neurolatent.cohort.options import BuildOptions
from neurolatent.console import FAILED, progress_bars, say, tell
from neurolatent.device import usable_cores
from neurolatent.model_commands import WorkspacePath


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
    fractions: tuple[float, float, float] = cohort_steps.FRACTIONS
    """Of people: train, validation, test."""
    seed: int = 1
    """Of the split, and of the phantom's people."""
    json: bool = False
    """Print the outcome as JSON."""
    options: BuildOptions = field(default_factory=BuildOptions)
    phantom: cohort_steps.PhantomSettings = field(default_factory=cohort_steps.PhantomSettings)

    def run(self) -> int:
        """Build, then say what was kept and what was not."""
        with progress_bars() as progress:
            outcome = cohort_steps.build(
                self.name,
                self.source,
                out=self.out,
                folds=self.folds,
                fractions=self.fractions,
                seed=self.seed,
                options=self.options,
                phantom=self.phantom,
                progress=progress,
            )
        return tell(outcome, as_json=self.json)


@dataclass(frozen=True)
class List:
    """List the cohorts that can be built."""

    json: bool = False
    """Print as JSON."""

    def run(self) -> int:
        """Print one line per cohort."""
        cohorts = cohort_steps.list_cohorts()
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
    fractions: tuple[float, float, float] = cohort_steps.FRACTIONS
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
            cohort_steps.split(
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
        outcome = cohort_steps.pool(
            self.workspaces, self.out, seed=self.seed, accept_diagnosis_rules=self.accept_diagnosis_rules
        )
        return tell(outcome, as_json=self.json)


@dataclass(frozen=True)
class Check:
    """Look at a cohort's table and images before any time is spent on them: every fault, where, and what to do."""

    workspace: Positional[WorkspacePath]
    """Folder made by `cohort build`."""
    source: Path | None = None
    """Where the source folder is now, if it moved."""
    deep: bool = False
    """Read every voxel too: empty, stripped, normalised or copied scans."""
    jobs: int = field(default_factory=usable_cores)
    """Processes at a time."""
    json: bool = False
    """Print every remark and the counts as JSON."""

    def run(self) -> int:
        """Say what is at fault; warnings alone are no failure."""
        with progress_bars() as progress:
            found = cohort_steps.check(
                self.workspace, source=self.source, deep=self.deep, jobs=self.jobs, progress=progress
            )
        if self.json:
            print(json.dumps(found.as_json()))
        else:
            for line in found.lines:
                say(line)
        return FAILED if found.failed else 0


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
        certification = cohort_steps.certify(self.workspace, against=self.against)
        if self.json:
            print(json.dumps(asdict(certification)))
        for line in () if self.json else certification.lines:
            say(line)
        return FAILED if certification.outcome == "failed" else 0


@dataclass(frozen=True)
class Volumes:
    """Join regional volumes that FreeSurfer or SynthSeg measured to the scans of a workspace."""

    workspace: Positional[WorkspacePath]
    """Folder made by `cohort build`."""
    sources: Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="SOURCE")]]
    """Folders of FreeSurfer's subjects, aseg.stats files, or tables with a row for each scan."""
    json: bool = False
    """Print the outcome as JSON."""

    def run(self) -> int:
        """Join, and list what belongs to no scan."""
        return tell(cohort_steps.join_volumes(self.workspace, self.sources), as_json=self.json)


@dataclass(frozen=True)
class Cohort:
    """Cohorts: build, list, split, pool, check, certify, volumes."""

    action: (
        Annotated[Build, subcommand("build")]
        | Annotated[List, subcommand("list")]
        | Annotated[Split, subcommand("split")]
        | Annotated[Pool, subcommand("pool")]
        | Annotated[Check, subcommand("check")]
        | Annotated[Certify, subcommand("certify")]
        | Annotated[Volumes, subcommand("volumes")]
    )

    def run(self) -> int:
        """Run the action."""
        return self.action.run()
