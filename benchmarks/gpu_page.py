"""The page of the GPU benchmark: the same rows whether or not anything has been measured yet.

Run:    python benchmarks/gpu_page.py docs/results/gpu.md      # the page before any measurement
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neurolatent.provenance import write_text

NOTHING = "–"
COMMAND = "PYTHONPATH=. python benchmarks/gpu.py --template out/template.npz --page docs/results/gpu.md"
PREPARE = "python benchmarks/gpu.py --prepare out/template.npz"
STAGES = ("vae", "denoiser", "autoencoder")
KEPT = {
    "masked SSIM, VAE": ("likeness", "masked SSIM, vae"),
    "masked SSIM, y + z_T inferred": ("likeness", "masked SSIM, codes"),
    "masked MSE, VAE": ("likeness", "masked MSE, vae"),
    "masked MSE, y + z_T inferred": ("likeness", "masked MSE, codes"),
    "AD against CN, ROC-AUC of a probe on y": ("probes", "ROC-AUC"),
    "age of controls, MAE of a probe on y, years": ("probes", "MAE"),
    "age of controls, MAE of the mean age, years": ("probes", "MAE, mean age"),
    "their difference, years": ("probes", "MAE − mean age"),
}
"""Row → part and measure."""
SPEEDS = {
    "encode (VAE, y)": "encode",
    "decode (VAE)": "decode",
    "decoder, a step": "decoder step",
    "training step, VAE": "train vae",
    "training step, denoiser": "train denoiser",
    "training step, autoencoder": "train autoencoder",
}
"""Row → part."""
SPEED_COLUMNS = (
    "pass|scans at a time|bf16, scans/s (quartiles)|bf16 against fp32|compiled against eager, bf16|memory, GB|goes"
)
SPEED_NOTE = (
    "Medians over goes that take turns among the variants, after two that do not count; ratios are of speeds, above 1 "
    "where bf16, or compiling, is faster. Memory: what a bf16 pass adds at most to what lies there. A training step "
    "here reads no scan and keeps no average; the table of the training counts both."
)
Found = Mapping[str, Any]


def page(found: Found) -> str:
    """Return the page, with a dash where there is no number."""
    parts = [
        "# On one GPU",
        _head(found.get("setting")),
        f"Where nilearn is installed: `{PREPARE}`. On the GPU's machine, as often as it takes: `{COMMAND}`.",
        "## Training",
        _table("stage|steps|of planned|minutes|scans/s|waiting for scans", _training(found)),
        _peak(found.get("training", {}).get("peak_gb")),
        "## What is kept of held-out people, and what can be read",
        _table("what|value|95 % interval|people", _kept(found)),
        "Intervals redraw people (2000 times) and condition on one trained model. Probes learn from training people.",
        "## Speed",
        _table(SPEED_COLUMNS, _speeds(found)),
        SPEED_NOTE,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(setting: Found | None) -> str:
    if setting is None:
        return "**Untested on a GPU.** No number has been measured yet; these commands would fill the tables."
    where = "" if setting["on_gpu"] else "**Untested on a GPU**: this ran on a CPU, to show that it runs. "
    people, grid = setting["people"], "×".join(map(str, setting["grid"]))
    tf32 = (
        "; fp32 convolutions in TF32, as torch does by default"
        if setting["on_gpu"] and setting["tf32_convolutions"]
        else ""
    )
    versions = ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
    return (
        f"{where}{setting['device']}. Simulation: preset `{setting['preset']}` ({grid} at {setting['spacing_mm']:g} "
        f"mm), one scan each of {people['training']} people to learn from, {people['validation']} to watch and "
        f"{people['test']} held out; at most {setting['minutes']:g} minutes of training, seed {setting['seed']}, "
        f"{setting['sampling_steps']} sampling steps each way{tf32}. {versions}."
    )


def _training(found: Found) -> Iterable[list[str]]:
    stages = found.get("training", {}).get("stages", {})
    for name in STAGES:
        stage = stages.get(name)
        cells = [NOTHING] * 5
        if stage:
            minutes, share = stage["seconds"] / 60, 100 * stage["waiting_share"]
            cells = [f"{stage['steps']}", f"{stage['planned']}", f"{minutes:.1f}", _short(stage["scans_per_second"])]
            cells.append(f"{share:.0f} %")
        yield [name, *cells]


def _peak(peak_gb: float | None) -> str:
    return (
        f"Peak GPU memory of the training, in its last process: {NOTHING if peak_gb is None else f'{peak_gb:.1f} GB'}."
    )


def _kept(found: Found) -> Iterable[list[str]]:
    for row, (part, name) in KEPT.items():
        measure = found.get(part, {}).get(name)
        if measure is None:
            yield [row, *[NOTHING] * 3]
            continue
        positive = f" ({measure['n_positive']} AD)" if "n_positive" in measure else ""
        interval = f"{_short(measure['low'])} to {_short(measure['high'])}"
        yield [row, _short(measure["value"]), interval, f"{measure['n']}{positive}"]


def _speeds(found: Found) -> Iterable[list[str]]:
    for row, part in SPEEDS.items():
        variants = found.get(part, {})
        half = variants.get("bf16", {})
        if "seconds" not in half:
            yield [row, *[_whole(half.get("why_not", NOTHING)) if n == 1 else NOTHING for n in range(6)]]
            continue
        speed = f"{_short(half['scans_per_second'])} ({_short(half['low'])} to {_short(half['high'])})"
        ratios = [_ratio(half, variants["fp32"]), _ratio(variants["bf16, compiled"], half)]
        memory = NOTHING if half["peak_gb"] is None else f"{half['peak_gb']:.2f}"
        yield [row, f"{half['batch']}", speed, *ratios, memory, f"{half['n']}"]


def _ratio(one: Found, other: Found) -> str:
    lacking = one.get("why_not") or other.get("why_not")
    return _whole(lacking) if lacking else f"{other['seconds'] / one['seconds']:.2f}"


def _whole(text: str) -> str:
    """Return what stays one cell of a table."""
    return text.replace("|", "/")


def _short(number: float) -> str:
    return f"{number:.3g}"


def _table(columns: str, rows: Iterable[list[str]]) -> str:
    names = columns.split("|")
    lines = [names, ["---", *["--:"] * (len(names) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), page({}))
