"""Draw the pictures of docs/phantom.md.

Run:    python benchmarks/phantom_pictures.py
Cost:   about 2 minutes on two cores
Writes: docs/phantom/people.png, course.png and scanners.png
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import torch
import tyro
from matplotlib.figure import Figure

from neurolatent.console import say
from neurolatent.device import usable_cores
from neurolatent.phantom import PhantomTruth, write_phantom
from neurolatent.volume.space import Grid

SEED, SUBJECTS = 4, 60
GRID = Grid(1.5)
STAMP = "simulation"


@dataclass(frozen=True)
class Pictures:
    """Where they go."""

    folder: Path = Path("docs/phantom")
    """Of the pictures."""
    cohorts: Path = Path("out/phantom_pictures")
    """Of the cohorts that they show."""


@dataclass(frozen=True)
class Panel:
    """One slice with a caption."""

    image: np.ndarray
    caption: str
    limit: float = 1.0
    diverging: bool = False


def main(settings: Pictures) -> None:
    """Write small cohorts, and draw them."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    standard, raw = settings.cohorts / "standard", settings.cohorts / "raw"
    jobs = usable_cores()
    write_phantom(
        standard, subjects=SUBJECTS, people=range(24), seed=SEED, visits=5, spacing_mm=4.0, repeats=0.0, jobs=jobs
    )
    write_phantom(raw, subjects=SUBJECTS, people=range(5), seed=SEED, visits=1, space="raw", repeats=0.0, jobs=jobs)
    truth = PhantomTruth.open(standard)
    truth.prepare()
    with torch.inference_mode():
        _save(_people(truth), settings.folder / "people.png", columns=6)
        _save(_course(truth), settings.folder / "course.png", columns=4)
        _save([*_scanners(truth), *_artefacts(truth), *_heads(raw)], settings.folder / "scanners.png", columns=5)


def _people(truth: PhantomTruth) -> list[Panel]:
    """Show two of each anatomy, as far as there are."""
    chosen: list[str] = []
    for anatomy in range(6):
        same = [name for name in truth.participants if truth.person(name)["anatomy"] == anatomy]
        chosen += same[:2]
    chosen += [name for name in truth.participants if name not in chosen][: 12 - len(chosen)]
    panels: list[Panel] = []
    for name in chosen:
        person = truth.person(name)
        image, _ = truth.noise_free(name, 0.0, GRID)
        caption = f"{person['group']}, {person['age_years']:.0f} y, {person['sex']}, anatomy {person['anatomy'] + 1}"
        panels.append(Panel(_axial(image), caption))
    return panels


def _course(truth: PhantomTruth) -> list[Panel]:
    """Show one person who converts."""
    name = next(name for name in truth.participants if truth.person(name)["group"] == "cMCI")
    images = {months: _axial(truth.noise_free(name, months, GRID)[0]) for months in (0.0, 12.0, 24.0, 36.0)}
    conversion = truth.person(name)["conversion_months"]
    panels = [Panel(image, f"{months:.0f} months") for months, image in images.items()]
    panels += [
        Panel(image - images[0.0], f"change by {months:.0f} months (± 0.3)", 0.3, diverging=True)
        for months, image in images.items()
    ]
    panels[4] = Panel(panels[4].image, f"conversion at {conversion:.0f} months", 0.3, diverging=True)
    return panels


def _scanners(truth: PhantomTruth) -> list[Panel]:
    from neurolatent.phantom.image import noise_free

    subject = truth.subject(truth.participants[0])
    return [
        Panel(
            _axial(noise_free(truth.bench, subject, 0.0, GRID, scanner=scanner)[0]),
            f"{scanner.name}, {scanner.tesla:g} T",
        )
        for site in truth.parameters.sites
        for scanner in site.scanners
    ]


def _artefacts(truth: PhantomTruth) -> list[Panel]:
    """Show one brain with more and more of what a scanner adds."""
    from dataclasses import replace

    from neurolatent.phantom.image import scan
    from neurolatent.phantom.people import person_rng
    from neurolatent.phantom.scanner import draw_acquisition

    subject = truth.subject(truth.participants[0])
    drawn = draw_acquisition(
        person_rng(SEED, 0, 9), truth.parameters, subject.scanner(0.0), median_motion_mm_per_min=1.0
    )
    clean = replace(drawn, motion_mm_per_min=0.0, noise_sd=0.0, bias_sd=0.0)
    shown = {
        "no artefact": clean,
        "noise": replace(clean, noise_sd=drawn.noise_sd),
        "bias field of a raw scan": replace(clean, bias_sd=truth.parameters.scans["raw_bias_sd"]),
        "motion, 3 mm/min": replace(clean, motion_mm_per_min=3.0),
        "motion, 8 mm/min": replace(clean, motion_mm_per_min=8.0),
    }
    return [
        Panel(_axial(scan(truth.bench, subject, 0.0, GRID, acquisition)[0]), caption)
        for caption, acquisition in shown.items()
    ]


def _heads(folder: Path) -> list[Panel]:
    panels: list[Panel] = []
    for path in sorted(folder.glob("sub-*/ses-*/anat/*_T1w.nii.gz")):
        image = nib.as_closest_canonical(nib.Nifti1Image.from_filename(path))
        values = image.get_fdata(dtype=np.float32)
        size = "×".join(f"{zoom:g}" for zoom in nib.Nifti1Image.from_filename(path).header.get_zooms())
        code = "".join(nib.aff2axcodes(nib.Nifti1Image.from_filename(path).affine))
        middle = values[values.shape[0] // 2]
        square = _stretched(middle, image.header.get_zooms()[1:3])
        panels.append(Panel(square, f"raw, {code}, {size} mm", float(np.quantile(values, 0.995))))
    return panels[:5]


def _axial(image: np.ndarray) -> np.ndarray:
    return image[:, :, int(image.shape[2] * 0.52)]


def _stretched(image: np.ndarray, zooms: Sequence[float]) -> np.ndarray:
    """Repeat rows until both axes have voxels of about the same size."""
    times = [max(1, round(zoom / min(zooms) * 2)) for zoom in zooms]
    return np.repeat(np.repeat(image, times[0], axis=0), times[1], axis=1)


def _save(panels: Sequence[Panel], path: Path, *, columns: int) -> None:
    mpl.use("Agg")
    rows = -(-len(panels) // columns)
    figure: Figure = plt.figure(figsize=(2.1 * columns, 2.6 * rows), facecolor="black")
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, number)
        low = -panel.limit if panel.diverging else 0.0
        axes.imshow(
            panel.image.T, cmap="RdBu_r" if panel.diverging else "gray", origin="lower", vmin=low, vmax=panel.limit
        )
        axes.set_title(panel.caption, color="white", fontsize=8)
        axes.set_axis_off()
    figure.text(0.995, 0.005, STAMP, color="white", fontsize=8, ha="right")
    figure.tight_layout(pad=0.5)
    figure.savefig(path, dpi=80)
    plt.close(figure)
    say(f"{path}")


if __name__ == "__main__":
    main(tyro.cli(Pictures))
