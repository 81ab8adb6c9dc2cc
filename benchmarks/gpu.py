"""Train a preset on a phantom on one GPU, and measure what it keeps, what it tells and how fast it is.

Run:    python benchmarks/gpu.py --prepare out/template.npz      # where nilearn is installed; 4 MB to take along
        PYTHONPATH=. python benchmarks/gpu.py --template out/template.npz --page docs/results/gpu.md
Cost:   untested on a GPU: imaging 600 people takes about an hour of one core, shared out over all cores, and training
        at most 15 minutes. Every part can be cut off: the same command goes on where it was.
Needs:  torch, lightning, MONAI, numpy, scikit-learn, nibabel, safetensors, jaxtyping; no nilearn, torchio or SimpleITK.
Writes: OUT/gpu.json and a page of tables.
Try it: python benchmarks/gpu.py --preset tiny --device cpu --people 60 --out out/gpu-tiny
"""

import argparse
import platform
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gpu_quality
import gpu_speed
import torch
from gpu_cohort import Cohort, open_cohort, write_template
from gpu_page import page

from neurolatent.analysis.generation import Generator
from neurolatent.device import pick_device, usable_cores
from neurolatent.model.presets import Preset, find_preset
from neurolatent.model.weights import load_autoencoder
from neurolatent.progress import Progress
from neurolatent.provenance import hash_settings, read_json, versions, write_json, write_text
from neurolatent.training.plan import STAGES, stage_length
from neurolatent.training.stages import train

PROGRESS_SECONDS = 20.0
SPEEDS = ("encode", "decode", "decoder step", *(f"train {stage}" for stage in STAGES))
Section = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    """Do what is not done yet, part by part, then write the page."""
    options = _parse(arguments)
    if options.prepare:
        write_template(options.prepare)
        print(f"{options.prepare}: {options.prepare.stat().st_size / 1e6:.1f} MB")
        return
    preset, device, out = find_preset(options.preset), pick_device(options.device), options.out / options.preset
    jobs = options.jobs or usable_cores()
    cohort = open_cohort(out, people=options.people, preset=preset, template=options.template, jobs=jobs)
    inputs = [cohort.cache.hash, preset.describe(), options.minutes, options.seed, _name(device), torch.__version__]
    keep, weights = partial(_once, out / "parts", inputs), out / f"model-{hash_settings(inputs)[:8]}"
    keep("setting", lambda: _describe(options, preset, device, cohort))
    keep("training", lambda: _train(options, preset, device, cohort, weights))
    model, card = load_autoencoder(weights, device=device)
    generator = Generator(model, device, preset.sampling_steps)
    keep("likeness", lambda: gpu_quality.measure_likeness(cohort, generator), card.weights_hash)
    keep("probes", lambda: gpu_quality.measure_probes(cohort, generator), card.weights_hash)
    for what in SPEEDS:
        measure = partial(gpu_speed.measure, model, what, repeats=options.repeats, with_compiler=options.compile)
        keep(what, measure, options.repeats, options.compile)
    found = {path.stem: read_json(path)["found"] for path in sorted((out / "parts").glob("*.json"))}
    write_json(options.out / "gpu.json", found)
    target = options.page or options.out / "gpu.md"
    write_text(target, page(found))
    print(f"{target}: written")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/gpu"), help="where all lies, to be gone on with")
    parser.add_argument("--prepare", type=Path, help="write the template's maps to this file, and nothing else")
    parser.add_argument("--template", type=Path, help="that file, where nilearn is not installed")
    parser.add_argument("--page", type=Path, help="Markdown page to write; OUT/gpu.md by default")
    parser.add_argument("--preset", default="base", help="what to train")
    parser.add_argument("--device", default="cuda", choices=("auto", "cpu", "cuda"), help="where to compute")
    parser.add_argument("--people", type=int, default=600, help="people of the phantom, one scan each")
    parser.add_argument("--minutes", type=float, default=15.0, help="most that all stages train together")
    parser.add_argument("--repeats", type=int, default=20, help="timed goes of each variant")
    parser.add_argument("--jobs", type=int, help="processes that image people; all cores by default")
    parser.add_argument("--seed", type=int, default=1, help="of the training")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="try torch.compile too")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats: expected at least 1, got {options.repeats}.")
    return options


def _once(folder: Path, inputs: list[Any], name: str, measure: Callable[[], Mapping[str, Any]], *more: Any) -> None:
    """Measure one part, unless it was measured from the same inputs."""
    path, wanted = folder / f"{name}.json", hash_settings([*inputs, *more])
    if path.is_file() and read_json(path)["inputs"] == wanted:
        return
    started = time.monotonic()
    write_json(path, {"inputs": wanted, "found": measure()})
    print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)


def _describe(options: argparse.Namespace, preset: Preset, device: torch.device, cohort: Cohort) -> Section:
    on_gpu = device.type == "cuda"
    return {
        "device": _name(device),
        "on_gpu": on_gpu,
        "preset": preset.name,
        "grid": list(preset.grid_shape),
        "spacing_mm": preset.spacing_mm,
        "sampling_steps": preset.sampling_steps,
        "minutes": options.minutes,
        "seed": options.seed,
        "people": {part: len(getattr(cohort, part)) for part in ("training", "validation", "test")},
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
        "versions": {**versions(), "torch": torch.__version__, "python": platform.python_version()},
    }


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"


def _train(options: argparse.Namespace, preset: Preset, device: torch.device, cohort: Cohort, folder: Path) -> Section:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    card = train(
        cohort.cache,
        folder,
        preset=preset,
        training_rows=cohort.training,
        validation_rows=cohort.validation,
        cohort="phantom",
        seed=options.seed,
        device=device,
        max_minutes=options.minutes,
        progress=_tell(),
    )
    stages = {
        name: {
            "steps": stage.steps,
            "planned": stage.planned_steps,
            "seconds": stage.seconds,
            "waiting_share": stage.waiting_share,
            "scans_per_second": stage.steps * stage_length(preset, name).batch / max(stage.seconds, 1e-9),
            "metrics": dict(stage.metrics),
        }
        for name, stage in card.stages.items()
    }
    peak_gb = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None
    return {"stages": stages, "peak_gb": peak_gb, "weights_hash": card.weights_hash}


def _tell() -> Progress:
    """Return a teller of progress that speaks every so often."""
    last = [0.0]

    def tell(what: str, done: int, total: int, note: str = "") -> None:
        if done == total or time.monotonic() - last[0] > PROGRESS_SECONDS:
            last[0] = time.monotonic()
            print(f"{what}: {done} of {total} {note}".rstrip(), flush=True)

    return tell


if __name__ == "__main__":
    main()
