"""Train a latent diffusion autoencoder on a prepared cohort and encode all its scans.

Run:    python protocols/train.py out/ixi
Cost:   about 35 minutes on two cores with the preset `demo`
Expect: out/ixi/model/demo/card.json, with who was trained on and each stage's validation loss
"""

from dataclasses import dataclass
from pathlib import Path

import tyro
from tyro.conf import Positional

from neurolatent import encode, train


@dataclass(frozen=True)
class Train:
    """Two commands in one."""

    workspace: Positional[Path]
    """Folder with a volume cache."""
    preset: str = "demo"
    """Size of the networks."""
    max_minutes: float | None = None
    """Shorten the training to fit."""
    seed: int = 1
    """Of weights, noise and order."""


def main(settings: Train) -> None:
    """Train, then encode."""
    train(settings.workspace, preset=settings.preset, max_minutes=settings.max_minutes, seed=settings.seed)
    print(encode(settings.workspace, run=settings.preset))


if __name__ == "__main__":
    main(tyro.cli(Train))
