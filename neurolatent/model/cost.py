"""What a preset costs: operations, parameters and memory, counted on tensors without values."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import finalize

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import Preset
from neurolatent.model.sampler import trajectory
from neurolatent.model.weights import PARTS

NUMBER_BYTES = 4
"""Of a number in single precision."""
LEARNT_COPIES = 5
"""A learnt number's value, its gradient, its moving average and Adam's two moments."""
Action = Callable[[], object]
PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


@dataclass(frozen=True)
class Cost:
    """What one scan costs in each pass through the networks, and what the networks weigh."""

    preset: str
    grid: tuple[int, int, int]
    steps: int
    """Of sampling, each way."""
    parameters: Mapping[str, int]
    """Of each network; `decoder` is the denoiser with the gradient estimator."""
    flops: Mapping[str, int]
    """Of each pass; a multiplication with its addition counts as two."""
    memory_bytes: Mapping[str, Mapping[str, int]]
    """All in single precision; in bfloat16 about half.

    weights: each network's parameters, and those of the whole model.
    training_state: of what a stage learns, parameters, gradients, moving average and Adam's two moments. What the
    stage reads frozen, and the activations kept for the way back, come on top.
    activations: the most that the tensors of one pass without gradients hold at once, its input included. Weights and
    the convolutions' work space come on top; attention counts as if its matrix were written out.
    """


class Footprint(TorchDispatchMode):
    """The most bytes that tensors made meanwhile held at once; tensors with values, such as tables, are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do what is asked, and note what it gave."""
        given = func(*args, **(kwargs or {}))
        for value in tree_leaves(given):
            if isinstance(value, Tensor) and value.is_meta:
                self._note(value.untyped_storage())
        return given

    def _note(self, storage: torch.UntypedStorage) -> None:
        """Count memory once, however many tensors look at it, until the last of them is gone."""
        if storage not in self.known:
            self.known[storage] = True
            finalize(storage, self._forget, storage.nbytes())
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)

    def _forget(self, count: int) -> None:
        self.now -= count


def count_cost(preset: Preset, *, steps: int | None = None) -> Cost:
    """Count everything; `steps` of sampling each way are the preset's own where not given."""
    path = trajectory(preset.sampling_steps if steps is None else steps, spacing=preset.spacing)
    with torch.device("meta"):
        model = LatentDiffusionAutoencoder(preset)
    measured = {name: measure(action) for name, action in passes(model).items()}
    flops = {name: operations for name, (operations, _) in measured.items()}
    return Cost(
        preset=preset.name,
        grid=preset.grid_shape,
        steps=len(path) - 1,
        parameters=count_parameters(model),
        flops={**flops, "reconstruction": reconstruction(flops, steps=len(path) - 1)},
        memory_bytes={
            "weights": _weights(model),
            "training_state": {
                stage: NUMBER_BYTES * LEARNT_COPIES * _count(getattr(model, name) for name in names)
                for stage, names in PARTS.items()
            },
            "activations": {name: peak for name, (_, peak) in measured.items()},
        },
    )


def count_parameters(model: LatentDiffusionAutoencoder) -> dict[str, int]:
    """Count the parameters of each network; the decoder holds the denoiser."""
    return {
        "vae": _count([model.vae]),
        "denoiser": _count([model.denoiser]),
        "decoder": _count([model.denoiser, model.gradient]),
        "semantic_encoder": _count([model.semantic]),
    }


def passes(model: LatentDiffusionAutoencoder) -> dict[str, Action]:
    """Return one pass of one scan through each network; a semantic encoder that reads latents is given one.

    Inputs name their device one by one: within a device's context the schedule's tables, kept for good, would be made
    there without values.
    """
    preset = model.preset

    def volume() -> Tensor:
        return torch.empty(1, 1, *preset.grid_shape, device="meta")

    def latent() -> Tensor:
        return torch.empty(1, preset.latent_channels, *preset.latent_shape, device="meta")

    def code() -> Tensor:
        return torch.empty(1, preset.code_size, device="meta")

    timestep = torch.empty(1, dtype=torch.int64, device="meta")
    return {
        "vae_encode": lambda: model.vae.encode(volume()),
        "vae_decode": lambda: model.vae.decode(latent()),
        "denoiser_step": lambda: model.denoiser(latent(), timestep),
        "decoder_step": lambda: model.predict_parts(latent(), timestep, code()),
        "semantic_encode": lambda: model.semantic(volume() if model.semantic.reads_scan else latent()),
    }


def measure(action: Action) -> tuple[int, int]:
    """Return the operations of a pass without gradients, and the most bytes it holds at once."""
    with torch.no_grad(), Footprint() as footprint, FlopCounterMode(display=False) as counter:
        action()
    return counter.get_total_flops(), footprint.peak


def reconstruction(flops: Mapping[str, int], *, steps: int) -> int:
    """Add up a scan's way to its codes and back: z_0, y, z_T, z_0 again, scan; a step asks the decoder once."""
    ends = flops["vae_encode"] + flops["semantic_encode"] + flops["vae_decode"]
    return ends + 2 * steps * flops["decoder_step"]


def quantity(value: int, unit: str) -> str:
    """Write a count with three digits and a prefix: 3.62 TFLOP."""
    for prefix, size in PREFIXES:
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value} {unit}"


def markdown_table(costs: Iterable[Cost]) -> str:
    """Write the README's table, a row per preset."""
    head = (
        "preset", "grid", "parameters", "VAE: encode", "decode", "semantic encoder", "decoder, a step",
        "reconstruction (steps each way)", "activations", "training state",
    )  # fmt: skip
    rows = [head, ("---",) * len(head), *map(_row, costs)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(cost: Cost) -> tuple[str, ...]:
    flops = {name: quantity(value, "FLOP") for name, value in cost.flops.items()}
    memory = cost.memory_bytes
    return (
        f"`{cost.preset}`",
        "×".join(map(str, cost.grid)),
        quantity(memory["weights"]["whole"] // NUMBER_BYTES, "").strip(),
        flops["vae_encode"],
        flops["vae_decode"],
        flops["semantic_encode"],
        flops["decoder_step"],
        f"{flops['reconstruction']} ({cost.steps})",
        quantity(max(memory["activations"].values()), "B"),
        quantity(max(memory["training_state"].values()), "B"),
    )


def _weights(model: LatentDiffusionAutoencoder) -> dict[str, int]:
    counts = {**count_parameters(model), "whole": _count([model])}
    return {name: NUMBER_BYTES * count for name, count in counts.items()}


def _count(networks: Iterable[nn.Module]) -> int:
    return sum(parameter.numel() for network in networks for parameter in network.parameters())
