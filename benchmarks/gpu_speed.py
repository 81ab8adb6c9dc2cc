"""How fast a pass or a training step is, in which arithmetic, compiled or not, and how much memory it takes."""

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.training.draws import Draws
from neurolatent.training.plan import STAGES, stage_length

WARM_UP = 2
MISTAKES = (KeyError, TypeError, AttributeError, AssertionError)
"""What is wrong with the program, and says nothing of a GPU."""
METHODS = (
    ("vae", "encode"), ("vae", "decode"), ("denoiser", "descend"), ("denoiser", "ascend"),
    ("semantic", "forward"), ("gradient", "forward"),
)  # fmt: skip
"""What is compiled of a model: all its passes go through these."""
Action = Callable[[], object]
Timed = dict[str, Any]

VARIANTS: Mapping[str, tuple[bool, bool]] = {
    "bf16": (True, False),
    "fp32": (False, False),
    "bf16, compiled": (True, True),
}
"""Name → whether in bfloat16, whether compiled."""


def compile_networks(model: LatentDiffusionAutoencoder) -> LatentDiffusionAutoencoder:
    """Return a copy whose networks are compiled at their first call, for the shapes they then meet."""
    twin = copy.deepcopy(model)
    for network, method in METHODS:
        part = getattr(twin, network)
        setattr(part, method, torch.compile(getattr(part, method), dynamic=False))
    return twin


def measure(model: LatentDiffusionAutoencoder, what: str, *, repeats: int, with_compiler: bool) -> Mapping[str, Timed]:
    """Time one pass or step in every variant, side by side: round by round, so that all meet the same machine."""
    actions: dict[str, Action] = {}
    found: dict[str, Timed] = {}
    for name, (half, compiled) in VARIANTS.items():
        if compiled and not with_compiler:
            found[name] = {"why_not": "not tried (--no-compile)"}
            continue
        try:
            actions[name], warm_up = _prepare(model, what, half=half, compiled=compiled)
        except MISTAKES:
            raise
        except Exception as error:  # noqa: BLE001 - that it cannot be done here is a result
            found[name] = _why_not(error)
            continue
        found[name] = {"warm_up_seconds": round(warm_up, 2)}
    for name, result in _take_turns(actions, repeats, batch_of(model, what), model.device).items():
        found[name] = result if "why_not" in result else found[name] | result
    return found


def batch_of(model: LatentDiffusionAutoencoder, what: str) -> int:
    """Return how many scans go at a time: as many as the training's stage takes."""
    stage = what.removeprefix("train ")
    at = {"encode": "vae", "decode": "vae", "decoder step": "autoencoder"}
    return stage_length(model.preset, at.get(what, stage)).batch


def _prepare(model: LatentDiffusionAutoencoder, what: str, *, half: bool, compiled: bool) -> tuple[Action, float]:
    """Return what is to be timed, and the seconds of its first goes."""
    torch.compiler.reset()
    twin = compile_networks(model) if compiled else copy.deepcopy(model)
    action = _action(twin, what, half=half)
    started = time.perf_counter()
    for _ in range(WARM_UP):
        action()
    _wait(model.device)
    return action, time.perf_counter() - started


def _take_turns(actions: dict[str, Action], repeats: int, batch: int, device: torch.device) -> dict[str, Timed]:
    """Time them round by round; one that runs out of memory, with all of them there, drops out."""
    goes: dict[str, list[tuple[float, float | None]]] = {name: [] for name in actions}
    lacking: dict[str, Timed] = {}
    for _ in range(repeats):
        for name in [*actions]:
            try:
                goes[name].append(_go(actions[name], device))
            except torch.OutOfMemoryError as error:
                lacking[name] = _why_not(error)
                del actions[name]
    return {name: lacking.get(name) or _summary(made, batch) for name, made in goes.items()}


def _why_not(error: Exception) -> Timed:
    first, *_ = str(error).strip().splitlines() or [""]
    return {"why_not": f"{type(error).__name__}: {first[:120]}"}


def _action(model: LatentDiffusionAutoencoder, what: str, *, half: bool) -> Action:
    batch, device, preset = batch_of(model, what), model.device, model.preset
    content: dict[str, Any] = {
        "step": 0,
        "rows": list(range(batch)),
        "volume": torch.rand(batch, 1, *preset.grid_shape, device=device),
        "latent": torch.randn(batch, preset.latent_channels, *preset.latent_shape, device=device),
    }
    if what.startswith("train "):
        return _training_step(model, what.removeprefix("train "), content, half=half)
    code = torch.randn(batch, preset.code_size, device=device)
    timestep = torch.full((batch,), 500, device=device)

    def encode() -> object:
        latent = model.scaling(model.vae.encode(content["volume"]).mean)
        return latent, model.semantic(content["volume"] if model.semantic.reads_scan else latent)

    passes: dict[str, Action] = {
        "encode": encode,
        "decode": lambda: model.vae.decode(model.scaling.invert(content["latent"])),
        "decoder step": lambda: model.predict_noise(content["latent"], timestep, code),
    }

    def act() -> None:
        with torch.no_grad(), _arithmetic(device, half=half):
            passes[what]()

    model.eval()
    return act


def _training_step(model: LatentDiffusionAutoencoder, stage: str, content: dict[str, Any], *, half: bool) -> Action:
    """Return loss, gradients and Adam's step on one batch that lies in memory: no reading, no moving average."""
    length = stage_length(model.preset, stage)
    model.requires_grad_(requires_grad=True).train()
    module = STAGES[stage](model, length=length, steps=length.steps, seed=0, name_scans=lambda rows: [*map(str, rows)])
    optimiser = torch.optim.AdamW(module.learning(), lr=1e-6)

    def act() -> None:
        with _arithmetic(model.device, half=half):
            loss = module.losses(content, Draws(seed=0, step=0, places=content["rows"])).mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return act


def _arithmetic(device: torch.device, *, half: bool) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=half)


def _go(action: Action, device: torch.device) -> tuple[float, float | None]:
    """Return the seconds of one go, and the most GB that it adds to what lies in the GPU's memory, moments included."""
    _wait(device)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device) if on_gpu else 0
    started = time.perf_counter()
    action()
    _wait(device)
    seconds = time.perf_counter() - started
    return seconds, (torch.cuda.max_memory_allocated(device) - before) / 1e9 if on_gpu else None


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _summary(goes: list[tuple[float, float | None]], batch: int) -> Timed:
    low, median, high = np.quantile([seconds for seconds, _ in goes], [0.25, 0.5, 0.75]).tolist()
    peaks = [peak for _, peak in goes if peak is not None]
    return {
        "scans_per_second": batch / median,
        "low": batch / high,
        "high": batch / low,
        "seconds": median,
        "batch": batch,
        "n": len(goes),
        "peak_gb": max(peaks, default=None),
    }
