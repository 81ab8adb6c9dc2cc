"""What is known of one preprocessed scan: where its files lie, what went into them, how good they are."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from neurolatent.provenance import hash_settings, read_json, versions, write_json
from neurolatent.shapes import Affine
from neurolatent.volume.intensity import HIGH_PERCENTILE, LOW_PERCENTILE
from neurolatent.volume.space import TEMPLATE_SPACE, Grid
from neurolatent.workspace import ScanKey

FORMAT_VERSION = 1
RECIPE = 1
"""Raised whenever the same scan would give other voxels: every scan is then redone."""


@dataclass(frozen=True)
class Measures:
    """Quality of one scan; `None` where it does not apply, as for scans that come in standard space."""

    affine_correlation: float | None
    """Of the template with the person's first scan."""
    rigid_correlation: float | None
    """Of the first scan with this one."""
    template_scale: float | None
    """Determinant of the affine: millilitres of head per millilitre of standard space."""
    mask_volume_ml: float
    """Of the head where the scan came raw, of standard space where it came there."""
    template_overlap: float
    """Dice of the mask with the template's, in standard space."""
    coverage: float
    """Share of the template's intracranial space that lies in the field of view."""
    signal_to_noise: float | None
    """Mean over SD in white matter."""
    contrast_to_noise: float | None
    """White less grey matter over their pooled SD."""


@dataclass(frozen=True, eq=False)
class ScanRecord:
    """The JSON beside a volume: with it a rerun knows that nothing is to be done."""

    inputs: Mapping[str, str]
    """What was read → SHA-256."""
    reference: ScanKey
    """The person's scan that the template was laid onto."""
    reference_hash: str
    recipe_hash: str
    mask_source: str
    measures: Measures
    scan_from_standard: Affine
    """World to world, in millimetres."""

    def differs(self, *, inputs: Mapping[str, str], reference_hash: str, recipe: str) -> str:
        """Say what changed since the record was made; nothing where all is as it was."""
        if self.recipe_hash != recipe:
            return "the settings changed"
        if dict(self.inputs) != dict(inputs):
            return "the scan changed"
        return "" if self.reference_hash == reference_hash else "the person's first scan changed"

    @property
    def content_hash(self) -> str:
        """One hash of all that the voxels depend on."""
        return hash_settings([dict(self.inputs), self.reference_hash, self.recipe_hash])


@dataclass(frozen=True)
class ScanFiles:
    """Where a preprocessed scan's files lie; BIDS-Derivatives, the run left out where it is the first."""

    derivatives: Path
    key: ScanKey
    label: str

    @property
    def volume(self) -> Path:
        """The standard-space volume."""
        return self._path("_desc-preproc_T1w.nii.gz")

    @property
    def mask(self) -> Path:
        """The intracranial mask."""
        return self._path("_desc-brain_mask.nii.gz")

    @property
    def record(self) -> Path:
        """The volume's JSON, written last."""
        return self._path("_desc-preproc_T1w.json")

    @property
    def picture(self) -> Path:
        """Three planes for the report."""
        participant, session, run = self.key
        return self.derivatives / "qc" / f"{participant}_{session}_run-{run}.png"

    def finished(self) -> "ScanRecord | None":
        """Return the record where everything that preprocessing writes for a raw scan is there."""
        whole = self.volume.is_file() and self.mask.is_file() and self.picture.is_file()
        return read_record(self.record) if whole else None

    def discard(self) -> None:
        """Remove what no longer holds; the record first, so that nothing looks finished."""
        for path in (self.record, self.volume, self.mask, self.picture):
            path.unlink(missing_ok=True)

    def _path(self, ending: str) -> Path:
        participant, session, run = self.key
        entity = "" if run == "1" else f"_run-{run}"
        name = f"{participant}_{session}{entity}_space-{TEMPLATE_SPACE}_res-{self.label}{ending}"
        return self.derivatives / participant / session / "anat" / name


def fingerprint(grid: Grid) -> str:
    """Return the hash of what a model must share with a volume to understand it: grid, mask, intensities."""
    rule = {"percentiles": [LOW_PERCENTILE, HIGH_PERCENTILE], "outside": 0, "mask": "intracranial"}
    return hash_settings({"grid": grid.describe(), "registration": "one affine a person", "intensity": rule})


def recipe_hash(grid: Grid) -> str:
    """Return the hash of how a raw scan is turned into a volume."""
    return hash_settings({"fingerprint": fingerprint(grid), "recipe": RECIPE})


def write_record(path: Path, key: ScanKey, record: ScanRecord, grid: Grid) -> None:
    """Write the JSON: BIDS's own fields first, sources named by their key and never by a path."""
    reference = "/".join(record.reference)
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "Description": "T1w in standard space, intracranial, intensities in [0, 1]",
        "Sources": sorted({"/".join(key), reference}),
        "SkullStripped": True,
        "Resolution": f"{grid.spacing_mm:g} mm isotropic",
        "SpatialReference": TEMPLATE_SPACE,
        "reference": reference,
        "inputs_sha256": dict(record.inputs),
        "reference_hash": record.reference_hash,
        "recipe": RECIPE,
        "recipe_hash": record.recipe_hash,
        "grid": grid.describe(),
        "mask_source": record.mask_source,
        "scan_from_standard": record.scan_from_standard.tolist(),
        **asdict(record.measures),
        "versions": _versions(),
    }
    write_json(path, content)


def read_record(path: Path) -> ScanRecord | None:
    """Read a record; `None` where there is none, or one of another format."""
    if not path.is_file():
        return None
    content = read_json(path)
    if content.get("format_version") != FORMAT_VERSION:
        return None
    return ScanRecord(
        inputs=content["inputs_sha256"],
        reference=ScanKey(*content["reference"].split("/")),
        reference_hash=content["reference_hash"],
        recipe_hash=content["recipe_hash"],
        mask_source=content["mask_source"],
        measures=Measures(**{name: content[name] for name in Measures.__dataclass_fields__}),
        scan_from_standard=np.array(content["scan_from_standard"], dtype=np.float64),
    )


@cache
def _versions() -> dict[str, str]:
    return versions()
