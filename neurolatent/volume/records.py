"""What is known of one preprocessed scan: where its files lie, what went into them, how good they are."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from neurolatent.provenance import hash_settings, read_json, versions, write_json
from neurolatent.shapes import Affine
from neurolatent.volume.recipe import Recipe
from neurolatent.volume.space import TEMPLATE_SPACE
from neurolatent.workspace import ScanKey

FORMAT_VERSION = 2
HELD_OUT = "heldout"
SETTINGS_CHANGED, SCAN_CHANGED = "the settings changed", "the scan changed"


@dataclass(frozen=True)
class Measures:
    """Quality of one scan; `None` where it does not apply, as for scans that come in standard space."""

    affine_correlation: float | None
    """Of the template with the mean of the person's scans."""
    rigid_correlation: float | None
    """Of this scan with that mean; none for a person's only scan."""
    template_scale: float | None
    """Determinant of the affine: millilitres of head per millilitre of standard space."""
    mask_volume_ml: float
    """Of the head where the scan came raw, of standard space where it came there."""
    intracranial_ml: float | None
    """The same where the mask is one of the intracranial space; a mask of the brain's tissue says nothing of it."""
    template_overlap: float
    """Dice of the mask with the template's, in standard space."""
    coverage: float
    """Share of the template's intracranial space that lies in the field of view."""
    signal_to_noise: float | None
    """Mean over SD in white matter."""
    contrast_to_noise: float | None
    """White less grey matter over their pooled SD."""
    template_similarity: float
    """Correlation with the template's T1 inside the mask."""
    mask_smoothness: float
    """Area of the mask's surface without its fine detail over its own."""
    bias_strength: float | None = None
    """How much brighter the removed field made one end of the brain than the other."""
    clipped_share: float | None = None
    """Share of the brain's voxels at the raw scan's highest value."""
    ringing: float | None = None
    """Ghosts of the brain in the air, over its median intensity; rises with motion."""


@dataclass(frozen=True, eq=False)
class ScanRecord:
    """The JSON beside a volume: with it a rerun knows that nothing is to be done."""

    inputs: Mapping[str, str]
    """What was read → SHA-256."""
    together: Mapping[str, str]
    """The scans of the person that were laid onto one another, as participant/session/run → SHA-256."""
    recipe_hash: str
    mask_source: str
    measures: Measures
    scan_from_standard: Affine
    """World to world, in millimetres."""
    flags: tuple[str, ...] = ()
    """What a person should know of the scan's file."""
    content_fingerprint: str = ""
    """What the volume shows, to find near-duplicates by: see `volume.likeness`."""

    def differs(self, *, inputs: Mapping[str, str], recipe: str) -> str:
        """Say what changed since the record was made; nothing where all is as it was."""
        if self.recipe_hash != recipe:
            return SETTINGS_CHANGED
        return "" if dict(self.inputs) == dict(inputs) else SCAN_CHANGED

    @property
    def content_hash(self) -> str:
        """One hash of all that the voxels depend on."""
        return hash_settings([dict(self.inputs), dict(self.together), self.recipe_hash])


@dataclass(frozen=True)
class PersonRecord:
    """What went into one person's volumes, and what could not: written last, so that it vouches for them."""

    recipe_hash: str
    inputs: Mapping[str, str]
    """Every scan that could be read, as participant/session/run → SHA-256 of its image and mask."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Those of them that could not be used → why."""

    def differs(self, *, inputs: Mapping[str, str], recipe: str) -> str:
        """Say what changed since the record was made; nothing where all is as it was."""
        if self.recipe_hash != recipe:
            return SETTINGS_CHANGED
        return "" if dict(self.inputs) == dict(inputs) else "a scan of the person changed, came or went"


@dataclass(frozen=True)
class ScanFiles:
    """Where a preprocessed scan's files lie; BIDS-Derivatives, the run left out where it is the first."""

    derivatives: Path
    key: ScanKey
    label: str
    without: str | None = None
    """The session that had no part in how these files were made, where it is to be predicted."""

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
    def transform(self) -> Path:
        """Resamples the scan into standard space: ITK's text format."""
        participant, session, run = self.key
        entity = "" if run == "1" else f"_run-{run}"
        name = f"{participant}_{session}{entity}_from-T1w_to-{TEMPLATE_SPACE}_mode-image_xfm.txt"
        return self._folder / name

    @property
    def picture(self) -> Path:
        """Three planes for the report and for quality control."""
        return picture_path(self.derivatives, self.key)

    def finished(self) -> ScanRecord | None:
        """Return the record where everything that preprocessing writes for a raw scan is there."""
        wanted = (self.volume, self.mask, self.transform, *([] if self.without else [self.picture]))
        return read_record(self.record) if all(path.is_file() for path in wanted) else None

    def discard(self) -> None:
        """Remove what no longer holds; the record first, so that nothing looks finished."""
        for path in (self.record, self.volume, self.mask, self.transform, *([] if self.without else [self.picture])):
            path.unlink(missing_ok=True)

    @property
    def _folder(self) -> Path:
        participant, session, _ = self.key
        if self.without:
            return self.derivatives / HELD_OUT / participant / self.without
        return self.derivatives / participant / session / "anat"

    def _path(self, ending: str) -> Path:
        participant, session, run = self.key
        entity = "" if run == "1" else f"_run-{run}"
        return self._folder / f"{participant}_{session}{entity}_space-{TEMPLATE_SPACE}_res-{self.label}{ending}"


def picture_path(derivatives: Path, key: ScanKey) -> Path:
    """Return where the picture of a scan lies."""
    participant, session, run = key
    return derivatives / "qc" / f"{participant}_{session}_run-{run}.png"


def person_path(derivatives: Path, participant: str, label: str, without: str | None = None) -> Path:
    """Return where a person's record lies; for all sessions, or for those made without one."""
    folder = derivatives / HELD_OUT / participant / without if without else derivatives / participant
    return folder / f"{participant}_res-{label}_preprocessing.json"


def write_person(path: Path, record: PersonRecord) -> None:
    """Write what went into a person's volumes."""
    write_json(path, {"format_version": FORMAT_VERSION, **asdict(record)})


def read_person(path: Path) -> PersonRecord | None:
    """Read a person's record; `None` where there is none, or one of another format."""
    content = read_json(path) if path.is_file() else {}
    if content.pop("format_version", None) != FORMAT_VERSION:
        return None
    return PersonRecord(**content)


def write_record(path: Path, key: ScanKey, record: ScanRecord, recipe: Recipe) -> None:
    """Write the JSON: BIDS's own fields first, sources named by their key and never by a path."""
    intracranial = "intracranial" if record.measures.intracranial_ml is not None else "brain only"
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "Description": f"T1w in standard space, {intracranial}, intensities in [0, 1]",
        "Sources": sorted({"/".join(key), *record.together}),
        "SkullStripped": True,
        "Resolution": f"{recipe.grid.spacing_mm:g} mm isotropic",
        "SpatialReference": TEMPLATE_SPACE,
        "inputs_sha256": dict(record.inputs),
        "together_sha256": dict(record.together),
        "recipe": recipe.describe(),
        "recipe_hash": record.recipe_hash,
        "grid": recipe.grid.describe(),
        "mask_source": record.mask_source,
        "scan_from_standard": record.scan_from_standard.tolist(),
        "flags": list(record.flags),
        "content_fingerprint": record.content_fingerprint,
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
        together=content["together_sha256"],
        recipe_hash=content["recipe_hash"],
        mask_source=content["mask_source"],
        measures=Measures(**{name: content[name] for name in Measures.__dataclass_fields__}),
        scan_from_standard=np.array(content["scan_from_standard"], dtype=np.float64),
        flags=tuple(content["flags"]),
        content_fingerprint=content["content_fingerprint"],
    )


@cache
def _versions() -> dict[str, str]:
    return versions()
