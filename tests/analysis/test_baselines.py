"""Principal components, mean image and voxelwise slopes."""

import numpy as np
from sklearn.decomposition import PCA

from neurolatent.analysis.baselines import fit_components, fit_voxel_components, mean_image, voxel_slopes


def test_components_are_those_of_scikit_learn_up_to_their_sign():
    rng = np.random.default_rng(1)
    values, fresh = rng.normal(size=(30, 200)) * np.linspace(3, 0.1, 200), rng.normal(size=(5, 200))
    expected = PCA(29).fit(values).transform(fresh)
    np.testing.assert_allclose(np.abs(fit_components(values).project(fresh)), np.abs(expected), atol=1e-8)


def test_there_are_no_more_components_than_values():
    values = np.random.default_rng(3).standard_normal((40, 6))
    components = fit_components(values)
    np.testing.assert_allclose(components.axes @ components.axes.T, np.eye(6), atol=1e-8)


def test_components_see_training_scans_only(study):
    rows = list(range(20))
    first = fit_voxel_components(study.cache, rows)
    assert first.components.axes.shape == (19, first.mask.sum())
    places = first.project(study.cache, rows)
    np.testing.assert_allclose(places.mean(0), 0, atol=1e-3)
    assert (np.diff(places.std(0)) <= 1e-6).all(), "the strongest comes first"


def test_the_voxelwise_slope_is_that_of_one_line_a_voxel(study):
    rows, x = [0, 5, 9, 14], np.array([60.0, 70.0, 75.0, 82.0])
    voxel = (16, 20, 12)
    values = [float(study.cache.volumes[row][voxel]) for row in rows]
    np.testing.assert_allclose(voxel_slopes(study.cache, rows, x)[voxel], np.polyfit(x, values, 1)[0], rtol=1e-4)
    np.testing.assert_allclose(mean_image(study.cache, rows)[voxel], np.mean(values), rtol=1e-4)
