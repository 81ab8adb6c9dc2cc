"""The steps about a model as such: what it costs, and weights from elsewhere."""

from pathlib import Path

from rich.table import Table

from neurolatent.console import Report
from neurolatent.model.cost import Cost, quantity
from neurolatent.model.presets import find_preset
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


def draw_cost(cost: Cost) -> Table:
    """Lay out a preset's cost as a table: a row per pass, then a row per stage of training."""
    grid = "×".join(map(str, cost.grid))
    table = Table(title=f"{cost.preset}: {grid} voxels, one scan, single precision", title_justify="left")
    table.add_column("pass")
    for name in ("parameters", "operations", "activations"):
        table.add_column(name, justify="right")
    activations = cost.memory_bytes["activations"]
    for name, (label, network) in PASSES.items():
        parameters = quantity(cost.parameters[network], "").strip()
        table.add_row(label, parameters, quantity(cost.flops[name], "FLOP"), quantity(activations[name], "B"))
    total = quantity(cost.flops["reconstruction"], "FLOP")
    table.add_row(f"reconstruction, {cost.steps} steps each way", "", total, "", end_section=True)
    for stage, size in cost.memory_bytes["training_state"].items():
        table.add_row(f"training {stage}: weights, gradients, average, Adam", "", "", quantity(size, "B"))
    return table
