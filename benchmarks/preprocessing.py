"""Measure preprocessing on real heads and on the phantom: masks, registration, damage, poses, repeats, time.

Run:    python benchmarks/preprocessing.py PATH/TO/IXI --pairs PATH/TO/LONGITUDINAL-MS
Cost:   about 40 minutes on two cores; a rerun does only what is missing
Writes: docs/results/preprocessing.md
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from evidence import MACHINE, Result, measure_missing, write_page
from preprocessing_phantom import measure_poses, measure_repeats
from preprocessing_real import CHOSEN_ON, measure_heads, measure_others, measure_pairs, measure_time
from preprocessing_stress import measure_stress

from neurolatent.errors import SettingsError


@dataclass(frozen=True)
class Evidence:
    """Which heads to measure, and where to keep the results."""

    source: Annotated[Path, tyro.conf.Positional]
    """Folder with `images` and `dlmuse`, both at 2 mm."""
    folder: Path = Path("out/preprocessing_evidence")
    """Of results."""
    page: Path = Path("docs/results/preprocessing.md")
    """Markdown file to write."""
    pairs: Path | None = None
    """Folder with one of two real visits a person: PERSON/study1_T1W.nii.gz and PERSON/study2_T1W.nii.gz."""
    only: tuple[str, ...] = ()
    """Names of sections to measure; all of them by default."""
    chosen: bool = False
    """Only print the masks of the 24 heads on which settings are chosen."""
    jobs: int = 2
    """Processes, one thread each."""
    machine: str = MACHINE
    """What it runs on."""


def main(settings: Evidence) -> None:
    """Measure what is missing, then write the page."""
    if settings.chosen:
        print("\n".join(measure_heads(settings.source, CHOSEN_ON, settings.jobs)["lines"]))
        return
    sections = _sections(settings)
    measure_missing(sections, settings.folder, settings.only)
    command = "python benchmarks/preprocessing.py PATH/TO/IXI --pairs PATH/TO/LONGITUDINAL-MS"
    head = f"Command: `{command}`. Machine: {settings.machine}."
    write_page(settings.page, "Preprocessing, measured", head, settings.folder, list(sections))


def _sections(settings: Evidence) -> Mapping[str, Callable[[], Result]]:
    source, folder, jobs = settings.source, settings.folder, settings.jobs

    def pairs() -> Result:
        if settings.pairs is None:
            msg = "The real pairs need their folder. State --pairs, or the other sections with --only."
            raise SettingsError(msg)
        return measure_pairs(settings.pairs, folder, jobs)

    return {
        "heads": lambda: measure_others(source, jobs),
        "poses": lambda: measure_poses(jobs),
        "time": lambda: measure_time(source),
        # joblib cannot begin again once `preprocess` has taken over its workers: what needs it comes first.
        "stress": lambda: measure_stress(source, folder, jobs),
        "repeats": lambda: measure_repeats(folder, jobs),
        "pairs": pairs,
    }


if __name__ == "__main__":
    main(tyro.cli(Evidence))
