"""What benchmarks share: sections measured once and kept, a page of them, means with intervals, surfaces."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from neurolatent.console import say
from neurolatent.device import usable_cores
from neurolatent.provenance import write_json, write_text
from neurolatent.shapes import MaskArray, Values

RESAMPLES = 2000
CPU_FEATURES = {"avx512f": "AVX-512", "avx512_bf16": "bf16", "amx_bf16": "AMX"}
CPU_FACTS = Path("/proc/cpuinfo")


def _describe_machine() -> str:
    """Say what a benchmark runs on: cores, processor, what it multiplies with, memory."""
    lines = CPU_FACTS.read_text(encoding="utf-8").splitlines() if CPU_FACTS.is_file() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", "").split()
    features = "".join(f", {said}" for flag, said in CPU_FEATURES.items() if flag in flags)
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    processor = facts.get("model name", platform.processor() or platform.machine())
    return f"{usable_cores()} cores of {processor}{features}, {memory_gib:.0f} GiB"


MACHINE = _describe_machine()
Result = dict[str, Any]
"""`title` and `lines` of a section."""


def measure_missing(sections: Mapping[str, Callable[[], Result]], folder: Path, only: Sequence[str]) -> None:
    """Measure the sections that the folder has no result of, or of these the `only` ones."""
    for name, measure in sections.items():
        path = folder / f"{name}.json"
        if path.is_file() or (only and name not in only):
            continue
        start = time.monotonic()
        write_json(path, measure())
        say(f"{name}: {time.monotonic() - start:.0f} s")


def write_page(page: Path, title: str, head: str, folder: Path, sections: Sequence[str]) -> None:
    """Write what the folder has of the sections, in their order."""
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    lines = [
        line for name in sections if name in found for line in (f"## {found[name]['title']}", *found[name]["lines"])
    ]
    write_text(page, "\n\n".join([f"# {title}", head, *lines]) + "\n")


def mean(values: Values, form: str = ".2f") -> str:
    """Return a mean with its 95 % interval over resampled people or scans."""
    low, high = np.quantile([redraw(values, seed).mean() for seed in range(RESAMPLES)], [0.025, 0.975])
    return f"{values.mean():{form}} [{low:{form}}, {high:{form}}]"


def redraw(values: Values, seed: int) -> Values:
    """Draw as many values with replacement."""
    return np.random.default_rng(seed).choice(values, len(values))


def surface_mm(one: MaskArray, other: MaskArray, *, voxel_mm: float, percentile: float | None = None) -> float:
    """Return a percentile, or the mean, of the distances from one mask's surface to the other's."""
    edges = [mask & ~np.asarray(ndimage.binary_erosion(mask), dtype=bool) for mask in (one, other)]
    distances_mm = np.asarray(ndimage.distance_transform_edt(~edges[1], sampling=voxel_mm))[edges[0]]
    return float(distances_mm.mean() if percentile is None else np.percentile(distances_mm, percentile))
