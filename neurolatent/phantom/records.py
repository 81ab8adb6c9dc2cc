"""People as JSON-like records, so that the truth can be opened without drawing anything again."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from neurolatent.phantom.courses import Courses
from neurolatent.phantom.parameters import GROUPS, PhantomParameters
from neurolatent.phantom.people import KEPT_ANATOMIES, People
from neurolatent.phantom.structures import REGIONS

COURSES = tuple(field.name for field in fields(Courses))
Record = dict[str, Any]


def person_record(parameters: PhantomParameters, people: People, row: int) -> Record:
    """Return everything that was drawn about the person of that row."""
    conversion = float(people.conversion_months[row])
    return {
        "participant_id": people.participant_id(row),
        "index": int(people.index[row]),
        "group": GROUPS[people.group[row]],
        "site": parameters.sites[people.site[row]].name,
        "sex": people.sex[row],
        "anatomy": int(people.anatomy[row]),
        "age_years": float(people.age_years[row]),
        "kept_for_test": int(people.anatomy[row]) in KEPT_ANATOMIES,
        "intracranial_ml": float(people.intracranial_ml[row]),
        "enrolment_year": float(people.enrolment_year[row]),
        "conversion_months": conversion if np.isfinite(conversion) else None,
        "hypointensity_log_ml": float(people.hypointensity_log_ml[row]),
        "hypointensity_rate": float(people.hypointensity_rate[row]),
        **{name: _by_region(getattr(people.courses, name)[row]) for name in COURSES},
    }


def people_from_records(parameters: PhantomParameters, seed: int, records: Sequence[Mapping[str, Any]]) -> People:
    """Read what `person_record` wrote."""
    sites = [site.name for site in parameters.sites]

    def column(name: str) -> np.ndarray:
        return np.array([record[name] for record in records])

    def table(name: str) -> np.ndarray:
        return np.array([[record[name][region] for region in REGIONS] for record in records])

    conversions = [np.inf if record["conversion_months"] is None else record["conversion_months"] for record in records]
    return People(
        seed=seed,
        index=column("index"),
        group=np.array([GROUPS.index(record["group"]) for record in records]),
        site=np.array([sites.index(record["site"]) for record in records]),
        sex=tuple(record["sex"] for record in records),
        anatomy=column("anatomy"),
        age_years=column("age_years"),
        intracranial_ml=column("intracranial_ml"),
        enrolment_year=column("enrolment_year"),
        conversion_months=np.array(conversions),
        conversion_years=parameters.conversion_years,
        time_scale_years=parameters.rate_time_scale_years,
        courses=Courses(**{name: table(name) for name in COURSES}),
        hypointensity_log_ml=column("hypointensity_log_ml"),
        hypointensity_rate=column("hypointensity_rate"),
        most_hypointensity_ml=parameters.hypointensities["most_ml"],
    )


def _by_region(values: np.ndarray) -> dict[str, float]:
    return {region: float(value) for region, value in zip(REGIONS, values, strict=True)}
