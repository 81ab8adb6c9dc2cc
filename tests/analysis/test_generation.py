"""Straight lines and arcs between codes."""

import numpy as np

from neurolatent.analysis.generation import lerp, slerp

ALONG = np.array([0.0, 0.5, 1.0])


def latents(*vectors: tuple[float, float]) -> np.ndarray:
    return np.array(vectors, dtype=np.float32).reshape(len(vectors), 1, 1, 1, 2)


def test_the_arc_between_perpendicular_codes_passes_half_way_at_45_degrees():
    first, second = latents(*[(1, 0)] * 3), latents(*[(0, 1)] * 3)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(slerp(first, second, ALONG), latents((1, 0), (half, half), (0, 1)), atol=1e-6)


def test_the_arc_between_noises_keeps_their_length_where_the_line_shortens_it():
    rng = np.random.default_rng(1)
    first, second = rng.standard_normal((2, 3, 4, 8, 8, 8)).astype(np.float32)
    half = np.full(3, 0.5)
    assert abs(slerp(first, second, half).std() - 1) < 0.03
    assert lerp(first, second, half).std() < 0.75


def test_equal_codes_stay_equal():
    first = latents((3, 4), (1, 1), (0, 2))
    np.testing.assert_allclose(slerp(first, first, ALONG), first, rtol=1e-6)


def test_the_line_is_weighted_by_time_scan_by_scan():
    first, second = np.zeros((3, 2)), np.ones((3, 2))
    np.testing.assert_allclose(lerp(first, second, ALONG), [[0, 0], [0.5, 0.5], [1, 1]])
