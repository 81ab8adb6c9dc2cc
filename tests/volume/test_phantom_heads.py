"""Claims about the phantom's raw heads, whose left differs from their right and whose truth is known."""

import numpy as np
import pytest

from neurolatent import cohort_steps
from neurolatent.phantom import write_phantom
from neurolatent.phantom.scanner import RawProtocol
from neurolatent.phantom.truth import PhantomTruth
from neurolatent.volume.cache import open_cache
from neurolatent.volume.preprocess import preprocess
from neurolatent.volume.space import Grid
from neurolatent.workspace import Workspace

GRID = Grid(4.0)


@pytest.mark.slow
def test_left_stays_left_in_any_orientation(tmp_path):
    source, workspace = tmp_path / "source", Workspace(tmp_path / "out")
    write_phantom(
        source,
        subjects=4,
        seed=8,
        visits=1,
        space="raw",
        repeats=0.0,
        raw=RawProtocol(voxel_mm=(2.0, 2.0, 2.0), orientation="any"),
        jobs=2,
    )
    cohort_steps.build("phantom", source, out=workspace.root)
    assert preprocess(workspace, spacing_mm=GRID.spacing_mm, jobs=2).failures == ()
    cache, truth = open_cache(workspace.cache(GRID.spacing_mm)), PhantomTruth.open(source)
    clean = truth.noise_free_volumes([(key.participant_id, 0.0) for key in cache.keys], GRID)
    for place, image in enumerate(clean):
        mask, volume = np.asarray(cache.masks[place]), np.asarray(cache.volumes[place], dtype=np.float64)
        own, mirrored = (np.corrcoef(volume[mask], one[mask])[0, 1] for one in (image, image[::-1]))
        print(cache.keys[place].participant_id, round(own, 3), round(mirrored, 3))
        assert own > mirrored + 0.1
