"""Deal subjects into parts, so that each stratum, each site and all together come near the shares.

Diagnosis, sex and age decide how many of a stratum go to each part. Which of them go there, the sites decide: so sites,
however many and small, take nothing from the balance of the strata, and each is as balanced as the strata let it be.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neurolatent.cohort.splits.draws import shuffled
from neurolatent.cohort.visits import MISSING

DECIMALS = 9
"""Shares are not whole numbers of binary fractions: what differs by less is a tie."""


@dataclass(frozen=True)
class Traits:
    """What every subject is balanced by, those already placed among them."""

    strata: Mapping[str, str]
    sites: Mapping[str, str]

    def site(self, subject: str) -> str:
        """Return a subject's site; those without one count as one."""
        return self.sites.get(subject, MISSING)


def deal_subjects(
    new: Iterable[str], shares: Mapping[str, float], placed: Mapping[str, str], traits: Traits, seed: int
) -> dict[str, str]:
    """Add new subjects to those `placed`, stratum by stratum, so that all together come near the shares."""
    of_stratum: dict[str, list[str]] = defaultdict(list)
    for subject in new:
        of_stratum[traits.strata[subject]].append(subject)
    assignments, totals = dict(placed), Counter(placed.values())
    at_site = Counter((traits.site(subject), part) for subject, part in placed.items())
    in_stratum: dict[str, Counter[str]] = defaultdict(Counter)
    for subject, part in placed.items():
        in_stratum[traits.strata[subject]][part] += 1
    for stratum in sorted(of_stratum):
        subjects = shuffled(of_stratum[stratum], seed)
        parts = _deal(len(subjects), shares, in_stratum[stratum], totals)
        dealt = _hand_out(subjects, parts, shares, at_site, traits)
        at_site.update((traits.site(subject), part) for subject, part in dealt.items())
        assignments |= dealt
    return assignments


def _deal(new: int, shares: Mapping[str, float], counts: Counter[str], totals: Counter[str]) -> Sequence[str]:
    """Choose the parts of a stratum's new subjects, one by one; `counts` and `totals` are brought up to date.

    A part that lacks a whole subject of its share within the stratum comes first. What is left over goes, among the
    parts that still lack a fraction there, to the one that lacks most over all: so every stratum is balanced to
    within one subject (where nothing stood before), and many small strata do not all favour the largest part.
    """
    size = new + counts.total()
    dealt: list[str] = []
    for _ in range(new):
        lacking = {part: round(share * size - counts[part], DECIMALS) for part, share in shares.items()}
        everyone = totals.total() + 1
        over_all = {part: round(share * everyone - totals[part], DECIMALS) for part, share in shares.items()}
        whole = [part for part in shares if lacking[part] >= 1]
        some = [part for part in shares if lacking[part] > 0]
        if whole:
            chosen = max(whole, key=lambda part: (lacking[part], over_all[part]))
        else:
            chosen = max(some, key=lambda part: (over_all[part], -totals[part], lacking[part]))
        counts[chosen] += 1
        totals[chosen] += 1
        dealt.append(chosen)
    return dealt


def _hand_out(
    subjects: Sequence[str],
    parts: Sequence[str],
    shares: Mapping[str, float],
    at_site: Counter[tuple[str, str]],
    traits: Traits,
) -> dict[str, str]:
    """Give a stratum's parts to its subjects, each next one where a site lacks most of its share so far.

    A site's share is of all who were dealt from it up to this stratum, so what one stratum cannot even out the next
    ones do.
    """
    of_site: dict[str, list[str]] = defaultdict(list)
    for subject in subjects:
        of_site[traits.site(subject)].append(subject)
    sites, names = sorted(of_site), list(shares)
    if len(sites) == 1:
        return dict(zip(subjects, parts, strict=True))
    had = np.array([[at_site[site, part] for part in names] for site in sites], dtype=float)
    new = np.array([len(of_site[site]) for site in sites])
    wanted = (had.sum(axis=1) + new)[:, None] * np.array([shares[part] for part in names])
    counts = _fill(np.round(wanted - had, DECIMALS), new, np.array([parts.count(part) for part in names]))
    dealt: dict[str, str] = {}
    for site, row in zip(sites, counts, strict=True):
        dealt |= zip(of_site[site], np.repeat(names, row).tolist(), strict=True)
    return dealt


def _fill(lacking: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return whole numbers with these sums of rows and columns, one added at a time where most is lacking."""
    counts = np.zeros(lacking.shape, dtype=int)
    left = lacking.copy()
    left[:, columns == 0] = -np.inf
    for _ in range(int(rows.sum())):
        row, column = np.unravel_index(np.argmax(left), left.shape)
        counts[row, column] += 1
        left[row, column] -= 1
        if counts[row].sum() == rows[row]:
            left[row] = -np.inf
        if counts[:, column].sum() == columns[column]:
            left[:, column] = -np.inf
    return counts
