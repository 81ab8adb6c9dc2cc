"""The processes that train together, as torchrun or SLURM started them, and what only the first of them does."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import torch

from neurolatent.errors import SettingsError


@dataclass(frozen=True)
class Crew:
    """This process among those that train one model; each takes its share of every batch."""

    rank: int = 0
    size: int = 1
    a_node: int = 1
    """Processes on this machine."""
    fabric: Any = None
    """lightning's hold on the group; none where a process trains alone."""

    @property
    def first(self) -> bool:
        """Whether this process writes what all have made."""
        return self.rank == 0

    @property
    def nodes(self) -> int:
        """Machines."""
        return self.size // self.a_node

    def wait(self) -> None:
        """Wait until every process has come this far."""
        if self.fabric:
            self.fabric.barrier()

    def first_does(self, action: Callable[[], object]) -> None:
        """Let the first process do something, and go on together when it is done."""
        if self.first:
            action()
        self.wait()

    def agree(self, *, wish: bool) -> bool:
        """Return what the first process wishes: clocks differ, and all must do the same."""
        return bool(self.fabric.broadcast(wish)) if self.fabric else wish


ALONE = Crew()
PATIENCE = timedelta(days=1)
"""How long processes wait for the first: caching the latents of a large cohort takes hours."""


def started_as() -> Crew:
    """Read from the environment who this process is; nothing is set up yet."""
    size = int(os.environ.get("WORLD_SIZE") or _slurm("NTASKS", 1))
    if size == 1:
        return ALONE
    a_node = int(os.environ.get("LOCAL_WORLD_SIZE") or _slurm("NTASKS_PER_NODE", 0) or size // _slurm("NNODES", 1))
    if a_node < 1 or size % a_node:
        expected = f"the same number of processes on every machine, got {size} in all and {a_node} here"
        msg = f"Training: expected {expected}. State --nproc-per-node (torchrun) or --ntasks-per-node (SLURM)."
        raise SettingsError(msg)
    return Crew(rank=int(os.environ.get("RANK") or _slurm("PROCID", 0)), size=size, a_node=a_node)


def join_crew(device: torch.device) -> Crew:
    """Meet the other processes; alone, there is nobody to meet."""
    crew = started_as()
    if crew.size == 1:
        return crew
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy

    accelerator = "gpu" if device.type == "cuda" else "cpu"
    strategy = DDPStrategy(timeout=PATIENCE)
    fabric = Fabric(accelerator=accelerator, devices=crew.a_node, num_nodes=crew.nodes, strategy=strategy)
    fabric.launch()
    return Crew(fabric.global_rank, fabric.world_size, crew.a_node, fabric)


def own_device(device: torch.device) -> torch.device:
    """Return the GPU of this process, of those on its machine."""
    local = int(os.environ.get("LOCAL_RANK") or _slurm("LOCALID", 0))
    return torch.device("cuda", local) if device.type == "cuda" and started_as().size > 1 else device


def leave_at_once(code: int) -> NoReturn:
    """End this process without meeting the others: they wait for it in a sum, and would wait while it says goodbye."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _slurm(name: str, default: int) -> int:
    """Read a number of SLURM's; an interactive shell of one, which has no step of its own, counts as none."""
    if os.environ.get("SLURM_JOB_NAME") in {"bash", "interactive"}:
        return default
    value = os.environ.get(f"SLURM_{name}", "")
    return int(value) if value.isdigit() else default
