"""Build a cohort from a source folder and bring its scans to standard space.

Run:    python protocols/prepare_cohort.py ixi PATH/TO/IXI out/ixi
Cost:   about 10 s a raw head and core
Expect: out/ixi/visits.tsv, split.json and derivatives/, one line for each scan that was left out
"""

from dataclasses import dataclass
from pathlib import Path

import tyro
from tyro.conf import Positional

from neurolatent import build, preprocess


@dataclass(frozen=True)
class PrepareCohort:
    """Two commands in one."""

    name: Positional[str]
    """A cohort of `neurolatent cohort list`."""
    source: Positional[Path]
    """Its folder as downloaded."""
    workspace: Positional[Path]
    """Where everything goes."""
    preset: str = "demo"
    """Whose grid to use."""


def main(settings: PrepareCohort) -> None:
    """Build, preprocess, and say what became of the scans."""
    built = build(settings.name, settings.source, out=settings.workspace)
    prepared = preprocess(settings.workspace, preset=settings.preset)
    print(*built.lines, *prepared.lines, sep="\n")


if __name__ == "__main__":
    main(tyro.cli(PrepareCohort))
