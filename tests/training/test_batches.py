"""Batches depend on seed and step alone; variants are mild movements of the same brain."""

import numpy as np
import pytest
import torch

from neurolatent.training.batches import Scans, choose, training_steps
from neurolatent.training.variants import Variant, draw_variant, move


def move_one(volume, variant):
    return move(volume[None], [variant])[0]


def test_every_scan_comes_once_per_pass_across_batch_borders():
    chosen = [place for step in range(5) for place in choose(step, count=10, batch=4, seed=3)]
    assert sorted(chosen[:10]) == sorted(chosen[10:]) == list(range(10))
    assert chosen[:10] != chosen[10:]


def test_a_batch_larger_than_the_cohort_is_filled():
    assert len(choose(0, count=3, batch=8, seed=0)) == 8


def test_starting_later_gives_the_same_batches(brains):
    scans = Scans(brains, range(10), 2)
    options = {"batch": 4, "seed": 7, "want_volumes": True, "want_latents": False}
    run = iter(training_steps(scans, first=0, **options))
    early = [next(run) for _ in range(4)]
    late = next(iter(training_steps(scans, first=3, **options)))
    assert late["step"] == early[3]["step"] == 3
    assert late["rows"] == early[3]["rows"]
    assert torch.equal(late["volume"], early[3]["volume"])


def test_variant_0_is_the_scan_itself():
    volume = torch.rand(1, 8, 10, 8)
    assert draw_variant(3, 0) is None
    assert torch.equal(move_one(volume, None), volume)


@pytest.mark.parametrize("threads", [1, 2])
def test_scans_that_move_together_move_as_they_do_alone(threads):
    volumes = torch.rand(5, 1, 8, 10, 8)
    variants = [draw_variant(row, number) for row, number in enumerate([1, 0, 2, 3, 0])]
    before, asked = torch.get_num_threads(), volumes.clone()
    torch.set_num_threads(threads)
    try:
        together = move(volumes, variants)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(together, torch.stack([move_one(*pair) for pair in zip(volumes, variants, strict=True)]))
    assert torch.equal(volumes, asked)


def test_a_mirror_swaps_left_and_right_alone():
    volume = torch.rand(1, 8, 10, 8)
    mirror = Variant(mirrored=True, rotation_degrees=(0.0, 0.0, 0.0), scale=1.0, shift_voxels=(0.0, 0.0, 0.0))
    torch.testing.assert_close(move_one(volume, mirror), volume.flip(1), rtol=1e-4, atol=1e-4)


def test_a_shift_moves_along_the_axis_it_names():
    volume = torch.zeros(1, 8, 10, 12)
    volume[0, 4, 5, 6] = 1
    shifted = move_one(
        volume, Variant(mirrored=False, rotation_degrees=(0.0, 0.0, 0.0), scale=1.0, shift_voxels=(0.0, 2.0, 0.0))
    )
    assert [int(i) for i in np.unravel_index(int(shifted.argmax()), shifted.shape)] == [0, 4, 3, 6]


def test_a_quarter_turn_about_k_takes_i_to_j():
    volume = torch.zeros(1, 9, 9, 9)
    volume[0, 7, 4, 4] = 1
    turned = move_one(
        volume, Variant(mirrored=False, rotation_degrees=(0.0, 0.0, 90.0), scale=1.0, shift_voxels=(0.0, 0.0, 0.0))
    )
    place = [int(i) for i in np.unravel_index(int(turned.argmax()), turned.shape)]
    assert place in ([0, 4, 1, 4], [0, 4, 7, 4])


def test_a_larger_scale_enlarges():
    volume = torch.zeros(1, 16, 16, 16)
    volume[:, 5:11, 5:11, 5:11] = 1
    larger = move_one(
        volume, Variant(mirrored=False, rotation_degrees=(0.0, 0.0, 0.0), scale=1.3, shift_voxels=(0.0, 0.0, 0.0))
    )
    assert 1.8 < (larger.sum() / volume.sum()).item() < 2.6
