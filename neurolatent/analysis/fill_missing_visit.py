"""Fill in a visit between two others from their codes: y on the straight line, z_T on the arc.

Run:    neurolatent run fill_missing_visit WORKSPACE
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from neurolatent.analysis import scores
from neurolatent.analysis.finding import Estimate, Fact, Finding
from neurolatent.analysis.generation import Generator, lerp, slerp
from neurolatent.analysis.intervals import RESAMPLES, resample_subjects
from neurolatent.analysis.likeness import Likeness, score
from neurolatent.analysis.outcome import Entry, Outcome, Quantity, Table, compare, write_outcome
from neurolatent.analysis.study import Study, settle_steps
from neurolatent.analysis.triplets import SPANS_MONTHS, Triplet, draw_triplets, find_triplets
from neurolatent.errors import NotApplicableError
from neurolatent.shapes import Values, VolumeArray
from neurolatent.volume.space import is_given
from neurolatent.workspace import ScanKey, made_without

PROTOCOL, TITLE = "fill_missing_visit", "Filling in a missing visit"
MODEL, CARRY, BLEND, LATENT, CEILING = (
    "latent interpolation",
    "carry-forward",
    "linear blend",
    "latent blend",
    "VAE ceiling",
)
METHODS = {
    MODEL: "model",
    CARRY: "carry_forward",
    BLEND: "linear_blend",
    LATENT: "latent_blend",
    CEILING: "vae_ceiling",
}
"""Name in the report → name in the table."""
BASELINES = (BLEND, CARRY, LATENT)
SSIM = Quantity("masked SSIM", "", higher_is_better=True)
MSE = Quantity("masked MSE", "", higher_is_better=False)
WHOLE_GRID = Quantity("whole-grid SSIM", "", higher_is_better=True)
NOISE_FREE = Quantity("masked SSIM against the noise-free scan", "", higher_is_better=True)
FEWEST_PEOPLE = 5


@dataclass(frozen=True)
class Settings:
    """Options of `fill_missing_visit`."""

    seed: int = 1
    """Of the draw of triplets and of resampling."""
    steps: int | None = None
    """DDIM steps, to the codes and back; the preset's own number by default."""
    triplets: int = 40
    """Most triplets drawn."""
    resamples: int = RESAMPLES
    """Bootstrap draws."""


@dataclass(frozen=True)
class Scored:
    """Triplets with every method's scores."""

    triplets: Sequence[Triplet]
    against_scan: dict[str, Likeness]
    against_noise_free: dict[str, Likeness] | None


def run(study: Study, settings: Settings) -> Finding:
    """Draw triplets of test people, fill the middle visit by every method, and score against the real scan."""
    settings, verdict = settle_steps(settings, study), study.certify()
    possible = find_triplets([visit for visit in study.usable if visit.participant_id in study.test_subjects])
    people = {triplet.participant_id for triplet in possible}
    if len(people) < FEWEST_PEOPLE:
        msg = (
            f"fill_missing_visit: expected three visits spanning {SPANS_MONTHS[0]} to {SPANS_MONTHS[-1]} months, of "
            f"{FEWEST_PEOPLE} test people at least, got them of {len(people)}. It does not apply to this cohort."
        )
        raise NotApplicableError(msg)
    triplets = [_unseen(study, one) for one in draw_triplets(possible, most=settings.triplets, seed=settings.seed)]
    volumes = _fill(study, triplets, study.generator(steps=settings.steps))
    scored = _score(study, triplets, volumes)
    outcome = Outcome(
        protocol=PROTOCOL,
        title=TITLE,
        settings=settings,
        verdict=verdict,
        estimates=_estimates(scored, settings),
        facts=[
            Fact("triplets possible", len(possible), "triplets", f"{len(people)} test people"),
            Fact(
                "triplets whose target preprocessing had not seen",
                _unseen_count(study, triplets),
                "triplets",
                "records of preprocessing",
            ),
        ],
        notes=[*_notes(scored, settings), _note_on_preprocessing(study, triplets)],
        tables={"triplets": _table(scored)},
        maps=_example(study, triplets, volumes),
    )
    return write_outcome(study, outcome)


def _fill(study: Study, triplets: Sequence[Triplet], generator: Generator) -> dict[str, VolumeArray]:
    """Fill in every target by every method."""
    before, after, target = ([_key(t, place) for t in triplets] for place in ("before", "after", "target"))
    fraction = np.array([triplet.fraction for triplet in triplets])
    scan_before, scan_after = study.volumes(before), study.volumes(after)
    code = lerp(study.semantic(before, generator), study.semantic(after, generator), fraction)
    noise = study.noise([*before, *after], generator)
    noise = slerp(noise[: len(before)], noise[len(before) :], fraction)
    latents = lerp(generator.compress(scan_before), generator.compress(scan_after), fraction)
    return {
        MODEL: generator.generate(code, noise, what="Missing visits"),
        CARRY: study.volumes([_key(triplet, "nearest") for triplet in triplets]),
        BLEND: lerp(scan_before, scan_after, fraction),
        LATENT: generator.decompress(latents),
        CEILING: generator.reconstruct(study.volumes(target)),
    }


def _score(study: Study, triplets: Sequence[Triplet], volumes: dict[str, VolumeArray]) -> Scored:
    keys = [_key(triplet, "target") for triplet in triplets]
    targets, masks = study.volumes(keys), study.masks(keys)
    against_scan = {method: score(volume, targets, masks) for method, volume in volumes.items()}
    if study.truth is None:
        return Scored(triplets, against_scan, None)
    moments = [(triplet.participant_id, triplet.target.months) for triplet in triplets]
    clean = study.truth.noise_free_volumes(moments, study.cache.grid)
    return Scored(triplets, against_scan, {m: score(volume, clean, masks) for m, volume in volumes.items()})


def _estimates(scored: Scored, settings: Settings) -> list[Estimate]:
    """Compare over everyone and by span; a span with too few people has no row."""
    columns: list[tuple[Quantity, dict[str, Values | None]]] = [
        (SSIM, {method: likeness.ssim for method, likeness in scored.against_scan.items()}),
        (MSE, {method: likeness.mse for method, likeness in scored.against_scan.items()}),
        (WHOLE_GRID, {method: likeness.ssim_whole_grid for method, likeness in scored.against_scan.items()}),
    ]
    if scored.against_noise_free:
        columns.append((NOISE_FREE, {m: likeness.ssim for m, likeness in scored.against_noise_free.items()}))
    spans = np.array([triplet.span for triplet in scored.triplets])
    groups = {"all": spans > 0} | {f"span {span} months": spans == span for span in SPANS_MONTHS}
    people = np.array([triplet.participant_id for triplet in scored.triplets])
    estimates: list[Estimate] = []
    for quantity, values in columns:
        for group, chosen in groups.items():
            if len(set(people[chosen])) < FEWEST_PEOPLE:
                continue
            resamples = resample_subjects(list(people[chosen]), seed=settings.seed, resamples=settings.resamples)
            entries = [_entry(method, v[chosen]) for method, v in values.items() if v is not None]
            estimates += compare(quantity, resamples, entries, group=group)
    return estimates


def _entry(method: str, values: Values) -> Entry:
    if method == MODEL:
        return Entry(method, "model", scores.mean(values), BASELINES)
    return Entry(method, "ceiling" if method == CEILING else "baseline", scores.mean(values))


def _table(scored: Scored) -> Table:
    columns = ["participant_id", "before", "target", "after", "span_months", "gap_months", "span", "method"]
    columns += ["ssim", "mse", "ssim_whole_grid"] + (["ssim_noise_free"] if scored.against_noise_free else [])
    rows: list[list[str | float | int | None]] = []
    for method, likeness in scored.against_scan.items():
        measured = [likeness.ssim, likeness.mse, likeness.ssim_whole_grid]
        if scored.against_noise_free:
            measured.append(scored.against_noise_free[method].ssim)
        for place, triplet in enumerate(scored.triplets):
            sessions = [triplet.before.session_id, triplet.target.session_id, triplet.after.session_id]
            times = [round(triplet.span_months, 1), round(triplet.gap_months, 1), triplet.span]
            found = [None if values is None else float(values[place]) for values in measured]
            rows.append([triplet.participant_id, *sessions, *times, METHODS[method], *found])
    return Table(columns, rows)


def _example(study: Study, triplets: Sequence[Triplet], volumes: dict[str, VolumeArray]) -> dict[str, np.ndarray]:
    """Show the first triplet of the longest span."""
    place = max(range(len(triplets)), key=lambda n: (triplets[n].span, -n))
    keys = {name: _key(triplets[place], name) for name in ("before", "target", "after")}
    real = {f"example_{name}": study.volumes([key])[0] for name, key in keys.items()}
    return real | {f"example_{METHODS[method]}": volume[place] for method, volume in volumes.items()}


def _key(triplet: Triplet, place: str) -> ScanKey:
    key = getattr(triplet, place).key
    return made_without(key, triplet.target.session_id) if triplet.held_out else key


def _unseen(study: Study, triplet: Triplet) -> Triplet:
    """Take the volumes that were made without the target, where all three are there."""
    apart = replace(triplet, held_out=True)
    keys = [_key(apart, place) for place in ("before", "target", "after")]
    return apart if study.held_out and set(keys) <= set(study.held_out.keys) else triplet


def _unseen_count(study: Study, triplets: Sequence[Triplet]) -> int:
    simulated = study.truth is not None
    return sum(triplet.held_out or (simulated and is_given(triplet.target.image)) for triplet in triplets)


def _note_on_preprocessing(study: Study, triplets: Sequence[Triplet]) -> str:
    unseen = _unseen_count(study, triplets)
    if unseen == len(triplets):
        return "No target had a part in how the scans around it were preprocessed."
    return (
        f"Target seen in preprocessing: in {len(triplets) - unseen} of {len(triplets)} triplets the target was one of "
        "the scans whose common space and mask the others were laid into, or preprocessing elsewhere may have used it. "
        "`neurolatent preprocess --hold-out-visits` makes them without it."
    )


def _notes(scored: Scored, settings: Settings) -> list[str]:
    people = {triplet.participant_id for triplet in scored.triplets}
    notes = [
        (
            f"{len(scored.triplets)} triplets of {len(people)} test people, drawn span by span in turn, at most "
            f"{settings.triplets}; a span is the nearest of 12, 18, 24, 30 and 36 months, within 3."
        ),
        (
            "y is interpolated on the line and z_T on the arc, at the target's share of the span, and decoded in "
            f"{settings.steps} steps."
        ),
        "Every method is scored against the real scan; the VAE's own reconstruction of that scan is the ceiling.",
        "Scores are means over the target's mask dilated by one voxel, the same voxels for every method.",
        "Intervals redraw people with all their triplets and keep the trained weights as they are.",
        "SSIM also rewards averaged noise: a blend of two scans is smoother than any real one.",
    ]
    if scored.against_scan[MODEL].ssim is None:
        notes.append("On so coarse a grid SSIM's window says nothing, so only the squared error is given.")
    return notes
