"""Rebuild scans from their codes: how much the VAE keeps, how much y and z_T keep, and how much y alone.

Run:    neurolatent run reconstruct WORKSPACE
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from neurolatent.analysis import scores
from neurolatent.analysis.baselines import mean_image
from neurolatent.analysis.finding import Estimate, Fact, Finding
from neurolatent.analysis.generation import Generator, LatentArray
from neurolatent.analysis.intervals import RESAMPLES, resample_subjects
from neurolatent.analysis.likeness import Likeness, score
from neurolatent.analysis.outcome import KEY_COLUMNS, Entry, Outcome, Quantity, Table, compare, write_outcome
from neurolatent.analysis.selection import draw_people
from neurolatent.analysis.study import Study, settle_steps
from neurolatent.cohort.visits import Visit
from neurolatent.errors import NotApplicableError
from neurolatent.shapes import VolumeArray

PROTOCOL, TITLE = "reconstruct", "Reconstructing scans from their codes"
BOTH, ALONE, OTHER, MEAN, CEILING = (
    "code and inferred noise",
    "code alone",
    "another person's code",
    "training mean image",
    "VAE",
)
METHODS = {CEILING: "vae", BOTH: "code_and_noise", ALONE: "code_only", OTHER: "other_code", MEAN: "mean_image"}
"""Name in the report → name in the table."""
RIVALS = {BOTH: (MEAN,), ALONE: (OTHER, MEAN)}
ROLES: dict[str, Literal["model", "baseline", "ceiling"]] = {
    BOTH: "model",
    ALONE: "model",
    OTHER: "baseline",
    MEAN: "baseline",
    CEILING: "ceiling",
}
SSIM = Quantity("masked SSIM", "", higher_is_better=True)
MSE = Quantity("masked MSE", "", higher_is_better=False)
SHARE = Quantity("share of the VAE's masked SSIM", "", higher_is_better=True)
FEWEST_PEOPLE = 5


@dataclass(frozen=True)
class Settings:
    """Options of `reconstruct`."""

    seed: int = 1
    """Of the draw of people, of random z_T and of resampling."""
    steps: int | None = None
    """DDIM steps, to the codes and back; the preset's own number by default."""
    scans: int = 40
    """Most scans, one a test person."""
    step_counts: tuple[int, ...] = (2, 5, 10, 20)
    """Numbers of steps that the step study tries."""
    step_scans: int = 5
    """Scans of the step study."""
    resamples: int = RESAMPLES
    """Bootstrap draws."""


def run(study: Study, settings: Settings) -> Finding:
    """Rebuild one scan of each drawn test person by every method and score it against the scan."""
    settings, verdict = settle_steps(settings, study), study.certify()
    if len(study.test_subjects) < FEWEST_PEOPLE:
        expected, got = f"expected at least {FEWEST_PEOPLE} test people with a scan", len(study.test_subjects)
        msg = f"reconstruct: {expected}, got {got}. It does not apply to this cohort and split."
        raise NotApplicableError(msg)
    people = draw_people(study.test_subjects, most=settings.scans, seed=settings.seed)
    scans = [study.first_scans[person] for person in people]
    generator = study.generator(steps=settings.steps)
    noise = study.noise([scan.key for scan in scans], generator)
    volumes = _rebuild(study, scans, noise, generator, settings)
    real, masks = study.volumes([scan.key for scan in scans]), study.masks([scan.key for scan in scans])
    likeness = {method: score(volume, real, masks) for method, volume in volumes.items()}
    steps_table = _study_steps(study, scans[: settings.step_scans], generator, settings)
    outcome = Outcome(
        protocol=PROTOCOL,
        title=TITLE,
        settings=settings,
        verdict=verdict,
        estimates=_estimates(scans, likeness, settings),
        facts=_noise_facts(generator, noise),
        notes=_notes(scans, likeness, settings),
        tables={"scans": _table(scans, likeness, settings), "steps": steps_table},
        maps={"example_original": real[0], **{f"example_{METHODS[m]}": volumes[m][0] for m in (CEILING, BOTH, ALONE)}},
    )
    return write_outcome(study, outcome)


def _rebuild(
    study: Study, scans: Sequence[Visit], noise: LatentArray, generator: Generator, settings: Settings
) -> dict[str, VolumeArray]:
    codes = study.codes.semantic_of([scan.key for scan in scans])
    circle = np.random.default_rng(settings.seed).permutation(len(scans))
    others = np.empty_like(codes)
    others[circle] = codes[np.roll(circle, 1)]  # everyone gets the neighbour's code in a circle drawn at random
    drawn = generator.draw_noise(len(scans), seed=settings.seed)
    return {
        CEILING: generator.reconstruct(study.volumes([scan.key for scan in scans])),
        BOTH: generator.generate(codes, noise, what="Code and inferred noise"),
        ALONE: generator.generate(codes, drawn, what="Code alone"),
        OTHER: generator.generate(others, drawn, what="Another person's code"),
        MEAN: _training_means(study, scans),
    }


def _training_means(study: Study, scans: Sequence[Visit]) -> VolumeArray:
    """Give every scan the mean of the first scans of those who train where its person is tested."""
    means: dict[str, np.ndarray] = {}
    for round_ in study.split.rounds():
        tested = [scan for scan in scans if scan.participant_id in round_.test]
        if tested:
            training = [study.first_scans[p].key for p in sorted(round_.train & study.first_scans.keys())]
            mean = mean_image(study.cache, study.rows(training))
            means |= {scan.participant_id: mean for scan in tested}
    return np.stack([means[scan.participant_id] for scan in scans])


def _estimates(scans: Sequence[Visit], likeness: dict[str, Likeness], settings: Settings) -> list[Estimate]:
    resamples = resample_subjects(
        [scan.participant_id for scan in scans], seed=settings.seed, resamples=settings.resamples
    )
    estimates: list[Estimate] = []
    ssim = {method: found.ssim for method, found in likeness.items() if found.ssim is not None}
    mse = {method: found.mse for method, found in likeness.items()}
    for quantity, values in ((SSIM, ssim), (MSE, mse)):
        estimates += compare(quantity, resamples, [_entry(m, scores.mean(v)) for m, v in values.items()])
    if ssim:
        shares = {method: scores.ratio_of_means(ssim[method], ssim[CEILING]) for method in ssim if method != CEILING}
        estimates += compare(SHARE, resamples, [_entry(method, share) for method, share in shares.items()])
    return estimates


def _entry(method: str, statistic: scores.Statistic) -> Entry:
    return Entry(method, ROLES[method], statistic, RIVALS.get(method, ()))


def _study_steps(study: Study, scans: Sequence[Visit], generator: Generator, settings: Settings) -> Table:
    """Rebuild a few scans from both codes with few and many steps."""
    keys = [scan.key for scan in scans]
    codes, real, masks = study.codes.semantic_of(keys), study.volumes(keys), study.masks(keys)
    rows: list[list[float | int | None]] = []
    for steps in settings.step_counts:
        stepped = replace(generator, steps=steps)
        noise = stepped.infer_noise(real, codes, what=f"z_T in {steps} steps")
        found = score(stepped.generate(codes, noise, what=f"Scans in {steps} steps"), real, masks)
        rows.append([steps, None if found.ssim is None else found.ssim.mean(), found.mse.mean(), len(scans)])
    return Table(["steps", "ssim", "mse", "n"], rows)


def _noise_facts(generator: Generator, noise: LatentArray) -> list[Fact]:
    found = generator.model.noise_statistics(torch.from_numpy(noise).to(generator.device))
    source = f"z_T inferred from {len(noise)} scans in {generator.steps} steps, inside the brain"
    return [
        Fact("inferred z_T, mean (white noise: 0)", found.mean, "", source),
        Fact("inferred z_T, SD (white noise: 1)", found.sd, "", source),
        Fact("inferred z_T, neighbour autocorrelation (white noise: 0)", found.neighbour_autocorrelation, "", source),
    ]


def _table(scans: Sequence[Visit], likeness: dict[str, Likeness], settings: Settings) -> Table:
    rows = [
        [
            *scan.key,
            METHODS[method],
            settings.steps if method in {BOTH, ALONE, OTHER} else None,
            None if found.ssim is None else float(found.ssim[place]),
            float(found.mse[place]),
        ]
        for method, found in likeness.items()
        for place, scan in enumerate(scans)
    ]
    return Table([*KEY_COLUMNS, "method", "steps", "ssim", "mse"], rows)


def _notes(scans: Sequence[Visit], likeness: dict[str, Likeness], settings: Settings) -> list[str]:
    notes = [
        f"{len(scans)} first scans, one a test person (at most {settings.scans}); {settings.steps} steps each way.",
        (
            "Code alone is decoded from y and a random z_T; another person's code from the very same z_T, so that "
            "the two differ in y alone."
        ),
        "The mean image is of the people who train where the scan's person is tested.",
        f"The step study uses {min(settings.step_scans, len(scans))} scans and gives no intervals.",
        (
            "Reconstruction from an inferred z_T proves little by itself: a model that learnt nothing returns its "
            "input. Look at whether z_T is like white noise, and at what y alone keeps."
        ),
        "Scores are means over the scan's mask dilated by one voxel.",
        "Intervals redraw people and keep the trained weights as they are.",
    ]
    if likeness[CEILING].ssim is None:
        notes.append("On so coarse a grid SSIM's window says nothing, so only the squared error is given.")
    return notes
