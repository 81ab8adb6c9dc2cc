"""The phantom's numbers: `cohorts/phantom.toml`, table `[phantom]`, read and checked here."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Float

from neurolatent.content import content_folder
from neurolatent.errors import CohortError
from neurolatent.phantom.structures import OTHER_LOBES, SIDED, STRUCTURES, VENTRICLE_PARTS
from neurolatent.provenance import hash_settings

GROUPS = ("CN", "sMCI", "cMCI", "AD")
Arm = Literal["balanced", "confounded"]
Entry = Mapping[str, Any]
ByGroup = Float[np.ndarray, "group"]
ByStructure = Float[np.ndarray, "structure"]
ByGroupAndStructure = Float[np.ndarray, "group structure"]
PARTS = (*VENTRICLE_PARTS, *OTHER_LOBES)
"""What structures with several parts are divided into."""


@dataclass(frozen=True)
class Scanner:
    """One scanner: what it makes of tissue, and how it stores a raw scan."""

    name: str
    tesla: float
    fluid: float
    grey: float
    white: float
    point_spread_mm: float
    scale: float
    """Millimetres it shows per millimetre."""
    raw_voxel_mm: tuple[float, float, float]
    """Along x, y and z."""
    raw_orientation: str
    """Where each axis of the file leads: one of 48."""


@dataclass(frozen=True)
class Site:
    """Where people go, whom it sees, and which scanners it has had."""

    name: str
    ad_odds: Mapping[str, float]
    """AD for each CN, by arm."""
    scanners: tuple[Scanner, ...]
    """The first, and where there is one, that which took its place."""
    scanner_change_year: float

    def scanner(self, year: float) -> Scanner:
        """Return the scanner in use at a time."""
        return self.scanners[0] if year < self.scanner_change_year else self.scanners[-1]


@dataclass(frozen=True)
class Part:
    """How a part of a structure differs from the whole."""

    share_at_55: float
    log_sd: float
    rate_excess: tuple[float, ...]
    """By group: log volume per year beyond the structure's."""
    rate_sd: float


@dataclass(frozen=True)
class Asymmetry:
    """Left over right of a part: log volume, and log volume per year."""

    mean: float
    sd: float
    rate_sd: float


@dataclass(frozen=True, eq=False)
class PhantomParameters:
    """Every number of the simulation; groups in the order of GROUPS, structures in that of STRUCTURES."""

    age_limits_years: tuple[float, float]
    baseline_age_years: tuple[float, float]
    """Mean and standard deviation before the shift by group and the limits."""
    baseline_age_shift_years: ByGroup
    mix: ByGroup
    women: float
    kept_anatomy_share: float
    """Of people whose anatomy is kept for testing."""
    enrolment_year: tuple[float, float]
    cohort_effect: float
    """Log volume of grey matter per year of birth."""
    atypical_ad: float
    atypical_mci: float
    effect_share: ByGroup
    """Of the log effect of AD at baseline."""
    rate_correlation: float
    rate_time_scale_years: float
    conversion_months: tuple[float, float]
    conversion_years: float
    study_years: float
    rate: ByGroupAndStructure
    """Mean log volume per year at 12 months."""
    rate_sd: ByGroupAndStructure
    """True spread between people of the same."""
    rate_acceleration: ByGroupAndStructure
    """Log volume per year²; the ventricle's follows from `ventricle_acceleration_ml`."""
    ventricle_acceleration_ml: ByGroup
    """mL per year², the mean over `study_years`."""
    conversion_step: ByStructure
    """Log volume per year by which a converter's rate changes; the ventricle's follows from its acceleration."""
    parts: Mapping[str, Part]
    asymmetry: Mapping[str, Asymmetry]
    hypointensities: Mapping[str, float]
    motion: Mapping[str, float]
    fraction_at_55: ByStructure
    residual_sd: ByStructure
    residual_correlation: Float[np.ndarray, "structure structure"]
    ad_effect: ByStructure
    """Log volume of AD less that of CN at baseline."""
    intracranial_ml: Mapping[str, tuple[float, float]]
    """Mean and standard deviation by sex."""
    visit_months: tuple[float, ...]
    visit_jitter_months: float
    missing_share: ByGroup
    shape_scales_mm: tuple[float, ...]
    shape_sizes_mm: tuple[float, ...]
    scans: Mapping[str, float]
    """Numbers of the scanner that all sites share, by their names in the table."""
    sites: tuple[Site, ...]
    table: Entry
    """The table that all this came from."""

    @property
    def fingerprint(self) -> str:
        """Hash of the table."""
        return hash_settings(self.table)


def load_parameters(path: Path | None = None) -> PhantomParameters:
    """Read and check the table; an error names the key, what was expected and what came."""
    file = path if path is not None else content_folder("cohorts") / "phantom.toml"
    with file.open("rb") as stream:
        document = tomllib.load(stream)
    if "phantom" not in document:
        msg = f"{file.name}: expected a table [phantom], got {sorted(document)}. Restore it from the distribution."
        raise CohortError(msg)
    return parse_parameters(file.name, document["phantom"])


def parse_parameters(where: str, content: Entry) -> PhantomParameters:
    """Check a table that was read from the file `where`."""
    table = _Table(where, "phantom", content)
    rates = table.table("rate_percent_per_year").by_group_and_structure()
    spreads = table.table("published_rate_spread_percent_per_year").by_group_and_structure()
    visits, shape = table.table("visits"), table.table("shape")
    people = table.table("intracranial_ml")
    mix = table.by_group("mix")
    if not np.isclose(mix.sum(), 1.0):
        key = "mix"
        raise table.refuse(key, "shares that add up to 1", mix.tolist())
    return PhantomParameters(
        age_limits_years=table.pair("ages_years", ("low", "high")),
        baseline_age_years=table.pair("baseline_age_years", ("mean", "sd")),
        baseline_age_shift_years=table.by_group("baseline_age_shift_years"),
        mix=mix,
        women=table.value("women"),
        kept_anatomy_share=table.value("kept_anatomy_share"),
        enrolment_year=table.pair("enrolment_year", ("low", "high")),
        cohort_effect=np.log1p(table.value("cohort_effect_percent_per_decade") / 100) / 10,
        atypical_ad=table.value("atypical_ad"),
        atypical_mci=table.value("atypical_mci"),
        effect_share=table.by_group("effect_share"),
        rate_correlation=table.value("rate_correlation"),
        rate_time_scale_years=table.value("rate_time_scale_years"),
        conversion_months=table.pair("conversion_months", ("low", "high")),
        conversion_years=table.value("conversion_years"),
        study_years=table.value("study_years"),
        rate=np.log1p(rates / 100),
        rate_sd=table.value("true_spread_share") * spreads / (100 + rates),
        rate_acceleration=table.table("rate_acceleration_percent_per_year2").by_group_and_structure(absent="ventricle")
        / 100,
        ventricle_acceleration_ml=table.table("ventricle_acceleration_ml_per_year2").by_group("value"),
        conversion_step=table.table("conversion_step_percent_per_year").by_structure(absent="ventricle") / 100,
        parts=_parts(table),
        asymmetry={part: _asymmetry(table.table("asymmetry"), part) for part in SIDED},
        hypointensities=table.table("hypointensities").by_name(),
        motion=table.table("motion").by_name(),
        fraction_at_55=table.table("fraction_of_intracranial_at_55").by_structure(),
        residual_sd=table.table("residual_sd_of_log_volume").by_structure(),
        residual_correlation=_correlation(table.table("residual_correlation")),
        ad_effect=np.log1p(table.table("ad_effect_percent_at_baseline").by_structure() / 100),
        intracranial_ml={sex: people.pair(name, ("mean", "sd")) for sex, name in (("F", "women"), ("M", "men"))},
        visit_months=visits.values("months"),
        visit_jitter_months=visits.value("jitter_months"),
        missing_share=visits.by_group("missing_share"),
        shape_scales_mm=shape.values("scales_mm"),
        shape_sizes_mm=shape.values("sizes_mm"),
        scans=table.table("scans").by_name(),
        sites=tuple(
            _site(table.table("sites").table(name), table.table("scanners")) for name in table.table("sites").names
        ),
        table=content,
    )


def _parts(table: "_Table") -> dict[str, Part]:
    shares, spreads = table.table("part_share_at_55"), table.table("part_log_sd")
    excess, rate_sd = table.table("part_rate_excess_percent_per_year"), table.table("part_rate_sd_percent_per_year")
    return {
        part: Part(
            share_at_55=shares.value(part),
            log_sd=spreads.value(part),
            rate_excess=tuple((excess.by_group(part) / 100).tolist()),
            rate_sd=rate_sd.value(part) / 100,
        )
        for part in PARTS
    }


def _asymmetry(table: "_Table", part: str) -> Asymmetry:
    mean, sd, rate_sd = table.numbers(part, ("mean", "sd", "rate_sd_percent_per_year"))
    return Asymmetry(mean, sd, rate_sd / 100)


def _site(table: "_Table", scanners: "_Table") -> Site:
    name = table.name.rpartition(".")[2]
    balanced, confounded = table.numbers("ad_odds", ("balanced", "confounded"))
    own = [scanner for scanner in scanners.names if scanner.rpartition("-")[0] == name]
    if not own:
        raise scanners.refuse(name, "a scanner NAME-1 for each site", list(scanners.names))
    return Site(
        name=name,
        ad_odds={"balanced": balanced, "confounded": confounded},
        scanners=tuple(_scanner(scanners.table(scanner)) for scanner in own),
        scanner_change_year=table.value("scanner_change_year"),
    )


def _scanner(table: "_Table") -> Scanner:
    fluid, grey, white = table.numbers("intensities", ("fluid", "grey", "white"))
    x, y, z = table.values("raw_voxel_mm")
    return Scanner(
        name=table.name.rpartition(".")[2],
        tesla=table.value("tesla"),
        fluid=fluid,
        grey=grey,
        white=white,
        point_spread_mm=table.value("point_spread_mm"),
        scale=table.value("scale"),
        raw_voxel_mm=(x, y, z),
        raw_orientation=table.text("raw_orientation"),
    )


def _correlation(table: "_Table") -> Float[np.ndarray, "structure structure"]:
    matrix = np.eye(len(STRUCTURES))
    for row, first in enumerate(STRUCTURES[:-1]):
        values = table.numbers(first, STRUCTURES[row + 1 :])
        matrix[row, row + 1 :] = matrix[row + 1 :, row] = values
    lowest = float(np.linalg.eigvalsh(matrix)[0])
    if lowest <= 0:
        raise table.refuse(STRUCTURES[0], "a positive definite matrix", f"a lowest eigenvalue of {lowest:.3f}")
    return matrix


@dataclass(frozen=True)
class _Table:
    """One table of the file, whose entries each state a source."""

    file: str
    name: str
    content: Entry

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.content)

    def table(self, key: str) -> "_Table":
        if not isinstance(self.content.get(key), dict):
            raise self.refuse(key, "a table", self.content.get(key))
        return _Table(self.file, f"{self.name}.{key}", self.content[key])

    def entry(self, key: str) -> Entry:
        entry = self.content.get(key)
        if not isinstance(entry, dict) or not str(entry.get("source", "")).strip():
            raise self.refuse(key, "an entry with its source", entry)
        return cast("Entry", entry)

    def numbers(self, key: str, names: tuple[str, ...]) -> tuple[float, ...]:
        entry = self.entry(key)
        if set(entry) != {*names, "source"}:
            raise self.refuse(key, f"exactly {list(names)} and source", sorted(entry))
        return tuple(self._number(key, entry[name]) for name in names)

    def pair(self, key: str, names: tuple[str, str]) -> tuple[float, float]:
        first, second = self.numbers(key, names)
        return first, second

    def value(self, key: str) -> float:
        return self.numbers(key, ("value",))[0]

    def values(self, key: str) -> tuple[float, ...]:
        values = self.entry(key).get("values")
        if not isinstance(values, list) or not values:
            raise self.refuse(key, "a list of values", values)
        return tuple(self._number(key, value) for value in values)

    def text(self, key: str) -> str:
        value = self.entry(key).get("value")
        if not isinstance(value, str):
            raise self.refuse(key, "a text", value)
        return value

    def by_group(self, key: str) -> ByGroup:
        return np.array(self.numbers(key, GROUPS))

    def by_name(self) -> dict[str, float]:
        return {name: self.value(name) for name in self.names}

    def by_structure(self, *, absent: str = "") -> ByStructure:
        return np.array([0.0 if name == absent else self.value(name) for name in STRUCTURES])

    def by_group_and_structure(self, *, absent: str = "") -> ByGroupAndStructure:
        columns = [np.zeros(len(GROUPS)) if name == absent else self.by_group(name) for name in STRUCTURES]
        return np.stack(columns, axis=1)

    def refuse(self, key: str, expected: str, got: object) -> CohortError:
        return CohortError(f"{self.file}, {self.name}.{key}: expected {expected}, got {got!r}. Correct the file.")

    def _number(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise self.refuse(key, "a finite number", value)
        return float(value)
