"""How raw scans become standard-space volumes, as settings and as hashes."""

from dataclasses import dataclass
from typing import Any

from neurolatent.provenance import hash_settings
from neurolatent.volume.intensity import HIGH_PERCENTILE, LOW_PERCENTILE
from neurolatent.volume.search import Registration
from neurolatent.volume.space import Grid

VERSION = 3
"""Raised whenever the same scan would give other voxels: every scan is then redone."""
IN_WORDS: dict[Registration, str] = {
    "rigid": "one rigid transform a person",
    "similarity": "one similarity a person",
    "affine": "one affine a person",
}


@dataclass(frozen=True)
class Recipe:
    """The settings of preprocessing."""

    grid: Grid
    registration: Registration = "affine"
    """To the template; between a person's scans it is always rigid."""
    extractor: str | None = None
    """An installed program that makes the masks: see `volume.extractor`; our own where not given."""
    together: bool = True
    """Whether a person's scans are laid onto one another; each alone only to measure what that brings."""

    @property
    def fingerprint(self) -> str:
        """What a model must share with a volume to understand it: grid, registration, mask, intensities."""
        rule = {"percentiles": [LOW_PERCENTILE, HIGH_PERCENTILE], "outside": 0, "mask": "intracranial"}
        described = {"grid": self.grid.describe(), "registration": IN_WORDS[self.registration], "intensity": rule}
        return hash_settings(described)

    @property
    def hash(self) -> str:
        """Of all that the voxels of a raw scan's volume depend on beside the scans."""
        return hash_settings({"fingerprint": self.fingerprint, "version": VERSION, **self.describe()})

    def describe(self) -> dict[str, Any]:
        """Return what provenance records."""
        return {"registration": self.registration, "extractor": self.extractor, "together": self.together}
