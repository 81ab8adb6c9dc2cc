"""Where everything that one cohort gives lies, and the lock that keeps two commands from writing it."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from neurolatent.errors import SettingsError


class ScanKey(NamedTuple):
    """What names a scan in every file after `visits.tsv`."""

    participant_id: str
    session_id: str
    run: str


def made_without(key: ScanKey, session: str) -> ScanKey:
    """Name a scan's volume that was made as if a session of its person were not known yet."""
    return key._replace(run=f"{key.run}.without.{session}")


View = Literal["standard", "paper"]
"""Where the middle of a grid lies: ours, or the paper's, 17 mm higher."""


def resolution_label(spacing_mm: float, view: View = "standard") -> str:
    """Name a grid as BIDS does, without a dot: 1.5 gives `1p5`, 4.0 gives `4`; the paper's `paper1p5`."""
    return ("paper" if view == "paper" else "") + f"{spacing_mm:g}".replace(".", "p")


@dataclass(frozen=True)
class Workspace:
    """The paths of one workspace; making one touches no disk."""

    root: Path

    @property
    def visits_tsv(self) -> Path:
        """The table of scans, private."""
        return self.root / "visits.tsv"

    @property
    def visits_json(self) -> Path:
        """Its sidecar: columns, sources, exclusions, private."""
        return self.root / "visits.json"

    @property
    def regional_tsv(self) -> Path:
        """Regional volumes in mm³ that other programs measured."""
        return self.root / "regional.tsv"

    @property
    def split_json(self) -> Path:
        """Who trains and who tests, frozen."""
        return self.root / "split.json"

    @property
    def certificate_json(self) -> Path:
        """Whether anybody who is tested was seen in training."""
        return self.root / "certificate.json"

    @property
    def sharing_key_tsv(self) -> Path:
        """Who is behind the random identifiers of what was handed on, private."""
        return self.root / "sharing_key.tsv"

    @property
    def models(self) -> Path:
        """Folder of all models, each below its run's name."""
        return self.root / "model"

    @property
    def derivatives(self) -> Path:
        """Standard-space volumes, masks, transforms and quality, as BIDS-Derivatives."""
        return self.root / "derivatives"

    @property
    def quality_tsv(self) -> Path:
        """One row of quality measures per preprocessed scan."""
        return self.derivatives / "quality.tsv"

    @property
    def quality_html(self) -> Path:
        """The page on which a person looks at every scan."""
        return self.derivatives / "quality.html"

    @property
    def review_tsv(self) -> Path:
        """What that person thought of them."""
        return self.derivatives / "review.tsv"

    @property
    def report_html(self) -> Path:
        """The report as one self-contained page."""
        return self.root / "report.html"

    @property
    def report_pdf(self) -> Path:
        """The report as a PDF."""
        return self.root / "report.pdf"

    def cache(self, spacing_mm: float, view: View = "standard") -> Path:
        """Folder of the memory-mapped volumes on the grid of that spacing."""
        return self.derivatives / f"cache_res-{resolution_label(spacing_mm, view)}"

    def held_out_cache(self, spacing_mm: float, view: View = "standard") -> Path:
        """The same for volumes that were made without a session which is to be filled in."""
        return self.derivatives / "heldout" / self.cache(spacing_mm, view).name

    def model(self, run: str) -> Path:
        """Folder of the weights and card of one trained or imported model."""
        return self.models / run

    def codes(self, run: str) -> Path:
        """Folder of the semantic and stochastic codes that a model gave."""
        return self.root / "codes" / run

    def findings(self, run: str, protocol: str) -> Path:
        """Folder of one protocol's `finding.json`, tables and maps."""
        return self.root / "findings" / run / protocol

    @contextmanager
    def lock(self, *, make: bool = False) -> Generator[None]:
        """Hold the workspace for writing; the system frees it when the process ends, however it ends.

        A workspace that is not there is refused, unless it is to be made.
        """
        if make and not self.root.exists():
            self.root.mkdir(parents=True)
        if not self.root.is_dir():
            expected = "expected the folder of a workspace"
            msg = f"{self.root}: {expected}, found none. Make one with `neurolatent cohort build`, or correct the path."
            raise SettingsError(msg)
        with (self.root / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                msg = f"{self.root}: another neurolatent command is writing this workspace. Wait for it, or use --out."
                raise SettingsError(msg) from error
            yield
