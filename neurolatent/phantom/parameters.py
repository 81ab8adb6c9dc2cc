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
from neurolatent.phantom.anatomy import REGIONS
from neurolatent.provenance import hash_settings

GROUPS = ("CN", "sMCI", "cMCI", "AD")
Arm = Literal["balanced", "confounded"]
Entry = Mapping[str, Any]
ByGroup = Float[np.ndarray, "group"]
ByRegion = Float[np.ndarray, "region"]
ByGroupAndRegion = Float[np.ndarray, "group region"]


@dataclass(frozen=True)
class Site:
    """One scanner, and whom it sees."""

    name: str
    tesla: float
    fluid: float
    grey: float
    white: float
    point_spread_mm: float
    scale: float
    ad_odds: Mapping[str, float]
    """AD for each CN, by arm."""
    raw_voxel_mm: tuple[float, float, float]
    raw_orientation: str


@dataclass(frozen=True, eq=False)
class PhantomParameters:
    """Every number of the simulation; groups in the order of GROUPS, regions in that of REGIONS."""

    age_limits_years: tuple[float, float]
    baseline_age_years: tuple[float, float]
    """Mean and standard deviation before the shift by group and the limits."""
    baseline_age_shift_years: ByGroup
    mix: ByGroup
    women: float
    atypical_ad: float
    mci_effect_share: float
    rate_correlation: float
    rate_time_scale_years: float
    conversion_months: tuple[float, float]
    rate: ByGroupAndRegion
    """Mean log volume per year at 12 months."""
    rate_sd: ByGroupAndRegion
    """True spread between people of the same."""
    rate_acceleration: ByGroupAndRegion
    """Log volume per year²; the ventricle's follows from `ventricle_acceleration_ml`."""
    ventricle_acceleration_ml: ByGroup
    fraction_at_55: ByRegion
    residual_sd: ByRegion
    residual_correlation: Float[np.ndarray, "region region"]
    ad_effect: ByRegion
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
    rates = table.table("rate_percent_per_year").by_group_and_region()
    spreads = table.table("published_rate_spread_percent_per_year").by_group_and_region()
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
        atypical_ad=table.value("atypical_ad"),
        mci_effect_share=table.value("mci_effect_share"),
        rate_correlation=table.value("rate_correlation"),
        rate_time_scale_years=table.value("rate_time_scale_years"),
        conversion_months=table.pair("conversion_months", ("low", "high")),
        rate=np.log1p(rates / 100),
        rate_sd=table.value("true_spread_share") * spreads / (100 + rates),
        rate_acceleration=table.table("rate_acceleration_percent_per_year2").by_group_and_region(absent="ventricle")
        / 100,
        ventricle_acceleration_ml=table.table("ventricle_acceleration_ml_per_year2").by_group("value"),
        fraction_at_55=table.table("fraction_of_intracranial_at_55").by_region(),
        residual_sd=table.table("residual_sd_of_log_volume").by_region(),
        residual_correlation=_correlation(table.table("residual_correlation")),
        ad_effect=np.log1p(table.table("ad_effect_percent_at_baseline").by_region() / 100),
        intracranial_ml={sex: people.pair(name, ("mean", "sd")) for sex, name in (("F", "women"), ("M", "men"))},
        visit_months=visits.values("months"),
        visit_jitter_months=visits.value("jitter_months"),
        missing_share=visits.by_group("missing_share"),
        shape_scales_mm=shape.values("scales_mm"),
        shape_sizes_mm=shape.values("sizes_mm"),
        scans={name: table.table("scans").value(name) for name in table.table("scans").names},
        sites=tuple(_site(table.table("sites").table(name)) for name in table.table("sites").names),
        table=content,
    )


def _site(table: "_Table") -> Site:
    fluid, grey, white = table.numbers("intensities", ("fluid", "grey", "white"))
    balanced, confounded = table.numbers("ad_odds", ("balanced", "confounded"))
    x, y, z = table.values("raw_voxel_mm")
    return Site(
        name=table.name.rpartition(".")[2],
        tesla=table.value("tesla"),
        fluid=fluid,
        grey=grey,
        white=white,
        point_spread_mm=table.value("point_spread_mm"),
        scale=table.value("scale"),
        ad_odds={"balanced": balanced, "confounded": confounded},
        raw_voxel_mm=(x, y, z),
        raw_orientation=table.text("raw_orientation"),
    )


def _correlation(table: "_Table") -> Float[np.ndarray, "region region"]:
    matrix = np.eye(len(REGIONS))
    for row, first in enumerate(REGIONS[:-1]):
        values = table.numbers(first, REGIONS[row + 1 :])
        matrix[row, row + 1 :] = matrix[row + 1 :, row] = values
    lowest = float(np.linalg.eigvalsh(matrix)[0])
    if lowest <= 0:
        raise table.refuse(REGIONS[0], "a positive definite matrix", f"a lowest eigenvalue of {lowest:.3f}")
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

    def by_region(self) -> ByRegion:
        return np.array([self.value(region) for region in REGIONS])

    def by_group_and_region(self, *, absent: str = "") -> ByGroupAndRegion:
        columns = [np.zeros(len(GROUPS)) if region == absent else self.by_group(region) for region in REGIONS]
        return np.stack(columns, axis=1)

    def refuse(self, key: str, expected: str, got: object) -> CohortError:
        return CohortError(f"{self.file}, {self.name}.{key}: expected {expected}, got {got!r}. Correct the file.")

    def _number(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise self.refuse(key, "a finite number", value)
        return float(value)
