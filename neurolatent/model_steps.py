"""The steps about a model as such: what it costs, and weights from elsewhere."""

from pathlib import Path

from rich.table import Table

from neurolatent.console import Report
from neurolatent.model import cost
from neurolatent.model.cost import Cost, quantity
from neurolatent.model.presets import PRESETS, find_preset
from neurolatent.model.published.importing import PUBLISHED_SCALE, PublishedFiles, import_published
from neurolatent.workspace import Workspace

PUBLISHED_RUN = "paper"
PASSES = {
    "vae_encode": ("VAE, encode", "vae"),
    "vae_decode": ("VAE, decode", "vae"),
    "semantic_encode": ("semantic encoder", "semantic_encoder"),
    "denoiser_step": ("denoiser, a step", "denoiser"),
    "decoder_step": ("decoder, a step", "decoder"),
}
"""How each pass is called, and whose parameters it reads."""


def import_ldae(
    root: Path,
    files: PublishedFiles,
    *,
    run: str = PUBLISHED_RUN,
    latent_scale: float = PUBLISHED_SCALE,
    accept_affine: bool = False,
    progress: Report | None = None,
) -> Path:
    """Read the published checkpoints into the workspace as a model; return its folder."""
    workspace = Workspace(root)
    with workspace.lock():
        import_published(
            files,
            workspace.model(run),
            preset=find_preset(PUBLISHED_RUN),
            latent_scale=latent_scale,
            accept_affine=accept_affine,
            progress=progress,
        )
    return workspace.model(run)


def count_cost(preset: str, *, steps: int | None = None) -> Cost:
    """Count what a preset costs, at its own number of sampling steps where none is given."""
    return cost.count_cost(find_preset(preset), steps=steps)


def compare_costs() -> str:
    """Return the README's table: every preset, each at its own number of sampling steps."""
    return cost.markdown_table(map(cost.count_cost, PRESETS.values()))


def draw_cost(counted: Cost) -> Table:
    """Lay out a preset's cost for the terminal: a row per pass, then a row per stage of training."""
    grid = "×".join(map(str, counted.grid))
    table = Table(title=f"{counted.preset}: {grid} voxels, one scan, single precision", title_justify="left")
    table.add_column("what")
    for name in ("parameters", "operations", "memory"):
        table.add_column(name, justify="right")
    memory = counted.memory_bytes
    for name, (label, network) in PASSES.items():
        parameters = quantity(counted.parameters[network], "").strip()
        size = quantity(memory["activations"][name], "B")
        table.add_row(label, parameters, quantity(counted.flops[name], "FLOP"), size)
    total = quantity(counted.flops["reconstruction"], "FLOP")
    table.add_row(f"reconstruction, {counted.steps} steps each way", "", total, "", end_section=True)
    for stage, size in memory["training_state"].items():
        table.add_row(f"training state: {stage}", "", "", quantity(size, "B"))
    table.caption = "Memory: activations at once; training state: weights, gradients, average, Adam's moments."
    return table
