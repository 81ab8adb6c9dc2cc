"""Train the weights that ship with the package, on a phantom whose people the demo never meets.

Run:    python benchmarks/train_demo_weights.py
Cost:   about 6 minutes for the phantom and 35 for the training, on two cores
Writes: neurolatent/_weights/demo (safetensors in half precision, and the card)
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from neurolatent import cohort_steps, model_steps, steps
from neurolatent.console import progress_bars, say
from neurolatent.model.weights import export_weights
from neurolatent.workspace import Workspace

SEED = 2


@dataclass(frozen=True)
class TrainDemoWeights:
    """What is trained on; all else is the preset's."""

    subjects: int = 500
    """People of the phantom with seed 2."""
    visits: int = 2
    """Planned visits a person."""
    workspace: Path = Path("out/weights")
    """Where the phantom and the training lie; a rerun goes on there."""


def main(settings: TrainDemoWeights) -> None:
    """Build, preprocess, train, and put the rounded weights into the package."""
    phantom = cohort_steps.PhantomSettings(subjects=settings.subjects, visits=settings.visits)
    place = settings.workspace
    with progress_bars() as progress:
        built = cohort_steps.build(
            "phantom", None, out=place, seed=SEED, fractions=(0.9, 0.05, 0.05), phantom=phantom, progress=progress
        )
        prepared = steps.preprocess(place, progress=progress)
        say(f"{built.lines[-1]}; {prepared.lines[-1]}")
        model_steps.train(place, progress=progress)
    card = export_weights(Workspace(place).model(model_steps.SHIPPED_RUN), model_steps.SHIPPED_WEIGHTS)
    for name, stage in card.stages.items():
        say(f"{name}: {stage.steps} steps, {stage.seconds / 60:.1f} minutes, {dict(stage.metrics)}")


if __name__ == "__main__":
    main(tyro.cli(TrainDemoWeights))
