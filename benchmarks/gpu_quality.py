"""What a trained model keeps of held-out people's scans, and what a linear probe reads from y."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gpu_cohort import Cohort

from neurolatent import metrics
from neurolatent.analysis import scores
from neurolatent.analysis.generation import Generator
from neurolatent.analysis.intervals import Resamples, Statistic, difference, interval, resample_subjects
from neurolatent.analysis.probes import fit_age, fit_classifier
from neurolatent.shapes import FeatureArray, VolumeArray

BLOCK_SCANS = 32
SEED = 1
Measure = dict[str, Any]
"""`value`, `low`, `high` and `n`."""


def measure_likeness(cohort: Cohort, generator: Generator) -> Mapping[str, Measure]:
    """Rebuild every held-out scan by the VAE, and from y with the z_T inferred; score both inside the brain."""
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(cohort.test), BLOCK_SCANS):
        rows = cohort.test[start : start + BLOCK_SCANS]
        real = read(cohort, rows)
        codes = generator.semantic(real)
        rebuilt = generator.generate(codes, generator.infer_noise(real, codes), what="y + z_T")
        for name, volumes in (("vae", generator.reconstruct(real)), ("codes", rebuilt)):
            for quantity, values in _score(cohort, rows, volumes, real, generator.device).items():
                found.setdefault(f"{quantity}, {name}", []).append(values)
        print(f"likeness: {start + len(rows)} of {len(cohort.test)} held-out people", flush=True)
    resamples = resample_subjects(_people(cohort, cohort.test), seed=SEED)
    return {name: _estimate(resamples, scores.mean(np.concatenate(values))) for name, values in found.items()}


def measure_probes(cohort: Cohort, generator: Generator) -> Mapping[str, Measure]:
    """Fit probes on the training people's y, and ask them about held-out people."""
    everyone = range(len(cohort.diagnoses))
    blocks = [everyone[start : start + BLOCK_SCANS] for start in range(0, len(everyone), BLOCK_SCANS)]
    codes = np.concatenate([generator.semantic(read(cohort, rows)) for rows in blocks])
    return {**_measure_ad(cohort, codes), **_measure_age(cohort, codes)}


def read(cohort: Cohort, rows: Sequence[int]) -> VolumeArray:
    """Read scans in single precision."""
    return np.stack([np.asarray(cohort.cache.volumes[row], dtype=np.float32) for row in rows])


def _score(
    cohort: Cohort, rows: Sequence[int], volumes: VolumeArray, real: VolumeArray, device: torch.device
) -> dict[str, np.ndarray]:
    masks = np.stack([np.asarray(cohort.cache.masks[row]) for row in rows])
    trios = zip(volumes, real, masks, strict=True)
    placed = [[torch.from_numpy(array)[None, None].to(device) for array in trio] for trio in trios]
    found = {"masked MSE": [metrics.masked_mse(*trio) for trio in placed]}
    if metrics.has_ssim(cohort.cache.grid.shape):
        found["masked SSIM"] = [metrics.masked_ssim(*trio) for trio in placed]
    return {name: torch.cat(values).double().cpu().numpy() for name, values in found.items()}


def _measure_ad(cohort: Cohort, codes: FeatureArray) -> dict[str, Measure]:
    wanted = np.isin(cohort.diagnoses, ["AD", "CN"])
    training, test = (_those(rows, wanted) for rows in (cohort.training, cohort.test))
    positive = cohort.diagnoses == "AD"
    probe = fit_classifier(codes[training], positive[training], _people(cohort, training), seed=SEED)
    chance = probe.probability(codes[test])
    strata = cohort.diagnoses[test].tolist()
    resamples = resample_subjects(_people(cohort, test), seed=SEED, strata=strata, stratified_by="diagnosis")
    auc = _estimate(resamples, scores.roc_auc(positive[test], chance, ["held out"] * len(test)))
    return {"ROC-AUC": {**auc, "n_positive": int(positive[test].sum())}}


def _measure_age(cohort: Cohort, codes: FeatureArray) -> dict[str, Measure]:
    training, test = (_those(rows, cohort.diagnoses == "CN") for rows in (cohort.training, cohort.test))
    ages = cohort.ages
    probe = fit_age(codes[training], ages[training], _people(cohort, training), seed=SEED)
    errors = scores.mean(np.abs(probe.predict(codes[test]) - ages[test]))
    baseline = scores.mean(np.abs(ages[training].mean() - ages[test]))
    resamples = resample_subjects(_people(cohort, test), seed=SEED)
    statistics = {"MAE": errors, "MAE, mean age": baseline, "MAE − mean age": difference(errors, baseline)}
    return {name: _estimate(resamples, statistic) for name, statistic in statistics.items()}


def _those(rows: Sequence[int], wanted: np.ndarray) -> list[int]:
    return [row for row in rows if wanted[row]]


def _people(cohort: Cohort, rows: Sequence[int]) -> list[str]:
    return [cohort.cache.keys[row].participant_id for row in rows]


def _estimate(resamples: Resamples, statistic: Statistic) -> Measure:
    found = interval(resamples, statistic)
    return {"value": found.value, "low": found.low, "high": found.high, "n": resamples.n_subjects}
