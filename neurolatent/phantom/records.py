"""People and responses as JSON-like records, so that the truth can be opened without drawing anything again."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurolatent.phantom.anatomy import REGIONS
from neurolatent.phantom.parameters import GROUPS, PhantomParameters
from neurolatent.phantom.people import People
from neurolatent.phantom.response import Response

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
        "intracranial_ml": float(people.intracranial_ml[row]),
        "conversion_months": conversion if np.isfinite(conversion) else None,
        "log_volume": _by_region(people.log_volume[row]),
        "rate": _by_region(people.rate[row]),
        "acceleration": _by_region(people.acceleration[row]),
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
        conversion_months=np.array(conversions),
        log_volume=table("log_volume"),
        rate=table("rate"),
        acceleration=table("acceleration"),
        time_scale_years=parameters.rate_time_scale_years,
    )


def response_record(response: Response) -> Record:
    """Return a response as lists of numbers."""
    return {
        "zero": response.zero.tolist(),
        "skull_ml": response.skull_ml,
        "coefficients": response.coefficients.tolist(),
    }


def response_from_record(record: Mapping[str, Any]) -> Response:
    """Read what `response_record` wrote."""
    return Response(np.array(record["zero"]), record["skull_ml"], np.array(record["coefficients"]))


def _by_region(values: np.ndarray) -> dict[str, float]:
    return {region: float(value) for region, value in zip(REGIONS, values, strict=True)}
