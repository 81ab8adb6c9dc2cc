"""Honest reports on what a latent diffusion autoencoder learnt from a cohort of 3D T1w brain scans."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurolatent.api import LDAE, Cohort, Encoding
    from neurolatent.cohort_steps import build, split
    from neurolatent.model_steps import encode, train
    from neurolatent.report import write_report
    from neurolatent.steps import describe_finding, preprocess, run_protocol

__all__ = [
    "LDAE",
    "Cohort",
    "Encoding",
    "build",
    "describe_finding",
    "encode",
    "preprocess",
    "run_protocol",
    "split",
    "train",
    "write_report",
]

# Loaded on first use: importing the package costs milliseconds, and a node without pandas can import the networks.
HOMES = {
    **dict.fromkeys(("LDAE", "Cohort", "Encoding"), "neurolatent.api"),
    **dict.fromkeys(("build", "split"), "neurolatent.cohort_steps"),
    **dict.fromkeys(("describe_finding", "preprocess", "run_protocol"), "neurolatent.steps"),
    **dict.fromkeys(("encode", "train"), "neurolatent.model_steps"),
    "write_report": "neurolatent.report",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        msg = f"module 'neurolatent' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(HOMES[name]), name)
