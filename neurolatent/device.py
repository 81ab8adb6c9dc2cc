"""Choose the device and the arithmetic that suits it."""

import os
from typing import Literal

import torch

from neurolatent.errors import SettingsError

DeviceName = Literal["auto", "cpu", "cuda"]


def pick_device(name: DeviceName = "auto") -> torch.device:
    """Turn `auto` into the GPU where there is one; refuse `cuda` where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        msg = "--device cuda: expected a CUDA device, found none. Use --device cpu or auto."
        raise SettingsError(msg)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def autocast(device: torch.device, *, enabled: bool = True) -> torch.autocast:
    """Run matrix work in bfloat16 where the processor has instructions for it (measured about twice as fast)."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and has_fast_bfloat16(device))


def has_fast_bfloat16(device: torch.device) -> bool:
    """Tell whether bfloat16 is native; emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage, reportUnknownVariableType]


def usable_cores() -> int:
    """Count the cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
