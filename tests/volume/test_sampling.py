"""Claims about reading volumes at points."""

import numpy as np
import torch

from neurolatent.volume.sampling import as_grid, blur, convolve_axes, read_at, voxel_centres_mm

ARRAY = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)


def test_reading_at_voxels_gives_their_values_in_order_i_j_k():
    points = torch.from_numpy(np.argwhere(np.ones_like(ARRAY))).float()
    found = read_at(as_grid(ARRAY), points)[0].reshape(ARRAY.shape)
    np.testing.assert_allclose(found.numpy(), ARRAY, atol=1e-5)


def test_halfway_between_two_voxels_lies_their_mean():
    found = read_at(as_grid(ARRAY), torch.tensor([[1.0, 2.5, 3.0]]))
    np.testing.assert_allclose(found[0, 0], (ARRAY[1, 2, 3] + ARRAY[1, 3, 3]) / 2, atol=1e-5)


def test_outside_the_grid_is_zero():
    assert not read_at(as_grid(ARRAY), torch.tensor([[-2.0, 0, 0], [0, 0, 9.0]])).any()


def test_voxel_centres_follow_the_affine():
    affine = np.array([[0, 2.0, 0, 5], [1, 0, 0, -3], [0, 0, 3, 1], [0, 0, 0, 1]])
    centres = voxel_centres_mm((3, 4, 5), affine)
    np.testing.assert_allclose(centres[2, 1, 4].numpy(), (affine @ [2, 1, 4, 1])[:3])


def test_blurring_keeps_a_constant_up_to_the_edge_and_reduces_noise():
    constant = torch.full((1, 2, 6, 7, 8), 3.0)
    torch.testing.assert_close(blur(constant, 1.5), constant)
    noise = torch.randn(1, 1, 20, 20, 20, generator=torch.Generator().manual_seed(0))
    assert blur(noise, 1.5).std() < 0.2 * noise.std()


def test_convolution_matches_a_sum_over_neighbours_along_every_axis():
    grid = as_grid(np.pad(ARRAY, 2))
    mean = convolve_axes(grid, torch.full((3,), 1 / 3))
    block = grid[0, 0, 2:5, 3:6, 3:6].mean()
    torch.testing.assert_close(mean[0, 0, 3, 4, 4], block)
