"""How near a split comes to its shares: over all, by stratum and by site, as sites become many and small.

Run:    python benchmarks/split_balance.py
Cost:   twelve seconds of one core.
Writes: nothing; `docs/cohorts.md` holds what it printed.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from time import process_time
from typing import Any

import numpy as np

from neurolatent.cohort.splits import Split, make_split
from neurolatent.cohort.visits import Visit

PEOPLE, SITES, DRAWS = (60, 600), (1, 3, 50), 20
SCANS, SCANS_EACH = 20_000, 2
TEMPLATE = Visit(
    "sub-0", "ses-1", "1", 0.0, None, None, None, None, None, None, None, "simulated", None, "scan.nii.gz"
)  # fmt: skip


def draw_cohort(people: int, sites: int, *, seed: int, scans_each: int = 1) -> list[Visit]:
    """Draw people whose diagnosis goes with age, at sites of very different sizes."""
    rng = np.random.default_rng(seed)
    weights = rng.pareto(1.5, sites) + 0.2
    visits: list[Visit] = []
    for number in range(people):
        age = float(rng.normal(72, 8))
        ill = (age - 55) / 60
        diagnosis = str(rng.choice(["CN", "MCI", "AD"], p=_normed([1 - ill, 0.5, max(ill, 0.05)])))
        one = replace(
            TEMPLATE,
            participant_id=f"sub-{number:05d}",
            age_years=age,
            sex=str(rng.choice(["F", "M"])),
            diagnosis=diagnosis,
            site=f"site-{rng.choice(sites, p=weights / weights.sum()):02d}",
        )
        visits += [replace(one, session_id=f"ses-{scan}", months=12.0 * scan) for scan in range(scans_each)]
    return visits


def errors(split: Split, groups: Mapping[str, str]) -> list[float]:
    """By group and part: by how many people it is off its share."""
    sizes = Counter(groups.values())
    cells = Counter((groups[subject], part) for subject, part in split.assignments.items())
    return [abs(cells[one, part] - share * size) for one, size in sizes.items() for part, share in split.shares.items()]


def main() -> None:
    """Print the table of `docs/cohorts.md`, and the time that a large cohort takes."""
    print(
        "| people | sites | split | largest over all | by stratum | by site: mean | largest | largest, sites unknown |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for people in PEOPLE:
        for sites in SITES:
            for name, folds in {"holdout": None, "5 folds": 5}.items():
                print(f"| {people} | {sites} | {name} | {_measure(people, sites, folds)} |")
    visits = draw_cohort(SCANS // SCANS_EACH, 50, seed=0, scans_each=SCANS_EACH)
    ways: dict[str, dict[str, Any]] = {"holdout": {}, "5 folds": {"folds": 5}, "by site": {"leave_one_site_out": True}}
    for name, options in ways.items():
        began = process_time()
        make_split(visits, seed=1, **options)
        print(f"{len(visits)} scans, {name}: {process_time() - began:.2f} s of one core")


def _measure(people: int, sites: int, folds: int | None) -> str:
    found: list[tuple[float, float, float, float, float]] = []
    for seed in range(DRAWS):
        visits = draw_cohort(people, sites, seed=seed)
        split = make_split(visits, seed=seed, folds=folds)
        blind = make_split([replace(visit, site=None) for visit in visits], seed=seed, folds=folds)
        everyone = dict.fromkeys(split.assignments, "all")
        at_sites = errors(split, split.sites)
        found.append(
            (
                max(errors(split, everyone)),
                max(errors(split, split.strata)),
                float(np.mean(at_sites)),
                max(at_sites),
                max(errors(blind, split.sites)),
            )
        )
    overall, stratum, mean, largest, unknown = np.array(found).T
    shown = [overall.max(), stratum.max(), mean.mean(), largest.max(), unknown.max()]
    return " | ".join(f"{value:.2f}" for value in shown)


def _normed(weights: list[float]) -> np.ndarray:
    positive = np.clip(weights, 0.02, None)
    return positive / positive.sum()


if __name__ == "__main__":
    main()
