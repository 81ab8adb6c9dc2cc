"""Claims about the template's maps."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neurolatent.errors import SettingsError
from neurolatent.volume.template import template_maps


def test_maps_share_one_millimetre_grid_in_ras_orientation():
    maps = template_maps()
    assert maps.t1.shape == maps.grey.shape == maps.white.shape
    np.testing.assert_array_equal(maps.world_from_voxel[:3, :3], np.eye(3))


def test_maps_lie_in_unit_range_and_tissues_do_not_exceed_one():
    maps = template_maps()
    for values in (maps.t1, maps.grey, maps.white):
        assert values.dtype == np.float32
        assert values.min() >= 0
        assert values.max() <= 1
    assert (maps.grey + maps.white).max() < 1.02


def test_white_matter_is_brighter_than_grey_and_left_mirrors_right():
    maps = template_maps()
    assert maps.t1[maps.white > 0.9].mean() > 1.2 * maps.t1[maps.grey > 0.9].mean()
    assert np.abs(maps.grey - maps.grey[::-1]).mean() < 0.01


def test_nilearn_itself_is_not_imported():
    code = (
        "import sys; from neurolatent.volume.template import template_maps; "
        "template_maps(); print('nilearn' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_a_folder_without_the_maps_is_named(tmp_path: Path):
    with pytest.raises(SettingsError, match="expected this MNI template file"):
        template_maps(tmp_path)
