"""Claims about what registration aims at."""

import numpy as np
import torch

from neurolatent.volume.target import TARGET_MM, registration_target, template_distance_mm


def test_the_intracranial_space_has_the_templates_volume_and_symmetry():
    inside = registration_target().inside
    assert 1800 < inside.sum() * TARGET_MM**3 / 1000 < 2000
    assert (inside ^ inside[::-1])[2:-2].mean() < 0.01


def test_the_surface_lies_between_the_voxels_of_both_sides():
    distance_mm = registration_target().distance_mm
    assert abs(distance_mm[distance_mm < 0].max() + distance_mm[distance_mm > 0].min()) < 0.01
    assert distance_mm.min() < -40


def test_ventricles_count_as_inside_and_the_air_above_as_outside():
    ventricle, centre, above = [12.0, -20.0, 18.0], [0.0, -20.0, 10.0], [0.0, -20.0, 95.0]
    distances = template_distance_mm(torch.tensor([ventricle, centre, above, [500.0, 0, 0]])).tolist()
    assert distances[0] < -20
    assert distances[1] < -20
    assert 10 < distances[2] < 20
    assert distances[3] == 30


def test_nothing_below_the_templates_cut_is_inside():
    target = registration_target()
    z_mm = np.argwhere(target.inside)[:, 2] * TARGET_MM + target.world_from_voxel[2, 3]
    assert z_mm.min() > -72
