"""One part for each site: its people are tested by what was fitted on the other sites."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from neurolatent.cohort.splits.record import Split, listed
from neurolatent.errors import CohortError

FEWEST_AT_SITE = 10
"""A site with fewer people is tested together with others like it: a sensitivity from ten people is known to ± 0.3."""
JOINED = "joined-sites"


def site_parts(new: Iterable[str], sites: Mapping[str, str], placed: Mapping[str, str]) -> dict[str, str]:
    """Return the part of each new subject.

    A site that has a part keeps it. One with fewer than ten people is not refused, for cohorts bring them and nobody
    need lose a scan: all of these are one part, still of sites that its fit has not seen, and where that part is too
    small itself, the smallest of the other sites is in it too.

    Args:
        new: Whom to place.
        sites: Subject → site, of everyone.
        placed: Subject → part, of those who stay where they are.
    """
    ordered = sorted(new)
    _refuse_nowhere([subject for subject in ordered if subject not in sites])
    part_of = {sites[subject]: part for subject, part in sorted(placed.items()) if subject in sites}
    sizes = Counter(sites[subject] for subject in ordered if sites[subject] not in part_of)
    part_of |= _parts_of(sizes, Counter(placed.values()))
    return {subject: part_of[sites[subject]] for subject in ordered}


def joined_sites(split: Split) -> dict[str, list[str]]:
    """Return the parts that hold several sites, and which."""
    found: dict[str, set[str]] = defaultdict(set)
    for subject, part in split.assignments.items():
        found[part].add(split.sites[subject])
    return {part: sorted(sites) for part, sites in sorted(found.items()) if len(sites) > 1}


def refuse_lone_site(split: Split) -> None:
    """Refuse a split of which some site would be tested by a fit on nobody."""
    training = {part: len(split.members(part) - split.test_only) for part in split.parts}
    if sum(count > 0 for count in training.values()) < 2:
        msg = (
            f"split: expected people to train on at two sites or more, got {training or 'nobody'} (sites with fewer "
            f"than {FEWEST_AT_SITE} people count as one). Split without --leave-one-site-out, or pool cohorts first."
        )
        raise CohortError(msg)


def _parts_of(sizes: Counter[str], placed: Counter[str]) -> dict[str, str]:
    """Return the part of each new site."""
    by_size = sorted(sizes, key=lambda site: (sizes[site], site))
    large = [site for site in by_size if sizes[site] >= FEWEST_AT_SITE]
    small = [site for site in by_size if sizes[site] < FEWEST_AT_SITE]
    joined = JOINED
    if small and JOINED not in placed and sum(sizes[site] for site in small) < FEWEST_AT_SITE:
        if large:
            small.append(large.pop(0))
        elif placed:
            joined = min(placed, key=lambda part: (placed[part], part))
    return {site: f"site-{site}" for site in large} | dict.fromkeys(small, joined)


def _refuse_nowhere(subjects: list[str]) -> None:
    if subjects:
        msg = (
            f"visits.tsv, site: expected where everyone's first scan was taken, lacking it for {listed(subjects)}. "
            "Name its column in the cohort's descriptor (`columns.site`) and build again, or leave "
            "--leave-one-site-out out."
        )
        raise CohortError(msg)
