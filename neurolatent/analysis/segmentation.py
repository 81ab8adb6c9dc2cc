"""How far the simple segmentation is to be trusted: its volumes against the true ones, where these are known."""

from collections.abc import Mapping, Sequence

import numpy as np

from neurolatent.analysis.finding import Fact
from neurolatent.analysis.study import Truth
from neurolatent.analysis.tissue import VOLUME_NAMES
from neurolatent.cohort.visits import Visit
from neurolatent.shapes import FeatureArray, Values

TRUE_REGIONS: Mapping[str, tuple[str, ...]] = {
    "CSF, lateral ventricles": ("lateral_ventricle_left", "lateral_ventricle_right"),
    "CSF, third and inferior ventricles": ("third_ventricle", "inferior_horn_left", "inferior_horn_right"),
    "grey matter, entorhinal cortex": ("entorhinal",),
    "grey matter, lateral temporal": ("temporal",),
    "grey matter, left hippocampus": ("hippocampus_left",),
    "grey matter, right hippocampus": ("hippocampus_right",),
    "grey matter, whole brain": ("grey",),
}
"""Measured volume → the true regions that it stands for."""
FEWEST_SCANS = 10


def segmentation_error(truth: Truth, scans: Sequence[Visit], measured: FeatureArray) -> list[Fact]:
    """Say for each of TRUE_REGIONS how well measured shares of the skull follow the true ones, over first scans."""
    rows = {(str(row["participant_id"]), str(row["session_id"])): row for row in truth.volumes()}
    known = [place for place, scan in enumerate(scans) if (scan.participant_id, scan.session_id) in rows]
    if len(known) < FEWEST_SCANS:
        return []
    visits = [rows[scans[place].participant_id, scans[place].session_id] for place in known]
    facts: list[Fact] = []
    for name, regions in TRUE_REGIONS.items():
        true = np.array(
            [sum(float(row[f"{region}_ml"]) for region in regions) / float(row["intracranial_ml"]) for row in visits]
        )
        facts.append(_compare(name, true, measured[known, VOLUME_NAMES.index(name)]))
    return facts


def _compare(name: str, true: Values, measured: Values) -> Fact:
    """Correlate, with Fisher's interval; say by how much the measure is off, and what a straight line leaves."""
    correlation = float(np.corrcoef(true, measured)[0, 1])
    reach = 1.96 / np.sqrt(len(true) - 3)
    low, high = (float(np.tanh(np.arctanh(correlation) + sign * reach)) for sign in (-1, 1))
    left = 100 * float(np.std(true - np.polyval(np.polyfit(measured, true, 1), measured)) / true.mean())
    source = (
        f"{len(true)} scans, 95 % interval {low:.2f} to {high:.2f}; the measure is {measured.mean() / true.mean():.2f} "
        f"times the truth, and the best straight line still misses it by {left:.1f} %"
    )
    return Fact(f"measured against true share of the skull: {name}", round(correlation, 3), "correlation", source)
