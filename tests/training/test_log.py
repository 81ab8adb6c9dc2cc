"""The table of losses, and the loss that a person is told."""

import pytest

from neurolatent.training.log import SMOOTHED_STEPS, Smoothed, read_losses
from tests.training.conftest import train_tiny


def test_a_constant_loss_is_smoothed_to_itself_from_the_first_step_on():
    smoothed = Smoothed()
    assert [smoothed.add(0.7) for _ in range(200)] == pytest.approx([0.7] * 200)


def test_the_smoothed_loss_forgets_what_was_long_ago():
    smoothed = Smoothed()
    for value in [5.0] * 100 + [1.0] * (5 * SMOOTHED_STEPS):
        last = smoothed.add(value)
    assert 1.0 < last < 1.05


def test_who_watches_is_told_every_step_and_the_smoothed_loss(brains, tmp_path):
    told = []
    train_tiny(brains, tmp_path, progress=lambda *what, note="": told.append((*what, note)))
    losses = read_losses(tmp_path / "training" / "vae.csv")
    vae = [entry for entry in told if entry[0] == "vae"]
    assert [(done, total) for _, done, total, _ in vae] == [(step, 60) for step in range(1, 61)]
    assert vae[0][3] == f"loss {losses[0][1]:.4g}"
    smoothed = float(vae[-1][3].removeprefix("loss "))
    assert min(loss for _, loss in losses) < smoothed < losses[0][1]
    assert all(not note for what, _, _, note in told if what == "latents")
