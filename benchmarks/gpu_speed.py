"""How fast a pass or a training step is, in which arithmetic, compiled or not, and how much memory it takes."""

import copy
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.training.draws import Draws
from neurolatent.training.plan import STAGES, stage_length

WARM_UP = 2
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
        torch.compiler.reset()
        twin = compile_networks(model) if compiled else copy.deepcopy(model)
        action = _action(twin, what, half=half)
        try:
            started = time.perf_counter()
            for _ in range(WARM_UP):
                action()
            _wait(model.device)
        except Exception as error:  # noqa: BLE001 - that it cannot be done here is a result
            found[name] = {"why_not": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"}
            continue
        found[name] = {"warm_up_seconds": round(time.perf_counter() - started, 2)}
        actions[name] = action
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            times[name].append(_seconds(action, model.device))
    for name, action in actions.items():
        found[name] |= _summary(times[name], batch_of(model, what), _peak_gb(action, model.device))
    return found


def batch_of(model: LatentDiffusionAutoencoder, what: str) -> int:
    """Return how many scans go at a time: as many as the training's stage takes."""
    stage = what.removeprefix("train ")
    at = {"encode": "vae", "decode": "vae", "decoder step": "autoencoder"}
    return stage_length(model.preset, at.get(what, stage)).batch


def _action(model: LatentDiffusionAutoencoder, what: str, *, half: bool) -> Action:
    batch, device, preset = batch_of(model, what), model.device, model.preset
    content: dict[str, Any] = {
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


def _seconds(action: Action, device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    action()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_gb(action: Action, device: torch.device) -> float | None:
    """Return the most that one more go adds to what lies in the GPU's memory: weights and Adam's moments lie there."""
    if device.type != "cuda":
        return None
    _wait(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    action()
    _wait(device)
    return (torch.cuda.max_memory_allocated(device) - before) / 1e9


def _summary(seconds: list[float], batch: int, peak_gb: float | None) -> Timed:
    quartiles = statistics.quantiles(seconds, n=4, method="inclusive")
    return {
        "scans_per_second": batch / quartiles[1],
        "low": batch / quartiles[2],
        "high": batch / quartiles[0],
        "seconds": quartiles[1],
        "batch": batch,
        "n": len(seconds),
        "peak_gb": peak_gb,
    }
