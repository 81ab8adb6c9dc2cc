"""What to do where a GPU's memory does not suffice."""

from collections.abc import Generator
from contextlib import contextmanager

import torch

from neurolatent.errors import SettingsError
from neurolatent.training.engine import Engine


@contextmanager
def advise_on_memory(what: str, engine: Engine, device: torch.device, *, at_once: int, mixed: bool) -> Generator[None]:
    """Say in one line which setting to lower; `at_once` scans are held, `mixed` is what the preset allows."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        first_line = str(error).partition("\n")[0]
        ways = [f"Lower --scans-at-once (now {at_once})" if at_once > 1 else "Choose a smaller preset"]
        if not str(engine.lightning_precision(device, mixed=mixed)).endswith("-mixed"):
            ways.append("take --precision bf16 or fp16")
        msg = f"{what}: expected room on the GPU, got {first_line} {', or '.join(ways)}."
        raise SettingsError(msg) from error
