"""Known answers of fields and flows."""

import numpy as np
import pytest
import torch

from neurolatent.phantom.lattice import (
    Lattice,
    blur,
    blur_mm,
    divergence,
    flow_on_lattice,
    flow_points,
    gradients,
    invert,
    smooth_noise,
    velocity_from_growth,
    volume_change,
)

BOX = Lattice(spacing_mm=2.0, shape=(32, 40, 36), centre_mm=(1.0, -3.0, 5.0))


@pytest.fixture
def velocity() -> torch.Tensor:
    white = torch.as_tensor(np.random.default_rng(0).standard_normal((3, *BOX.shape), dtype=np.float32))
    x, y, z = (
        axis.reshape(shape) for axis, shape in zip(BOX.axes(), ((-1, 1, 1), (1, -1, 1), (1, 1, -1)), strict=True)
    )
    window = torch.exp(-(((x - 1) / 14) ** 4) - ((y + 3) / 18) ** 4 - ((z - 5) / 16) ** 4)
    return smooth_noise(white, BOX, (8.0,), (3.0,)) * window


def test_sampling_a_linear_field_is_exact_between_nodes():
    nodes = BOX.points()
    field = (nodes * torch.tensor([[1.0], [2.0], [-3.0]])).sum(0).reshape(1, *BOX.shape)
    places = nodes[:, ::7] * 0.7
    expected = (places * torch.tensor([[1.0], [2.0], [-3.0]])).sum(0)
    torch.testing.assert_close(BOX.sample(field, places)[0], expected, atol=1e-3, rtol=0)


def test_beyond_the_lattice_the_outermost_value_goes_on():
    field = BOX.points()[:1].reshape(1, *BOX.shape)
    far = torch.tensor([[500.0], [0.0], [0.0]])
    assert BOX.sample(field, far).item() == pytest.approx(float(field.max()))


@pytest.mark.parametrize(
    "convolve", [lambda field: blur(field, (1.0, 2.0, 0.5)), lambda field: blur_mm(field, BOX, 4.0)]
)
def test_blurring_keeps_constants_and_reduces_noise(convolve):
    constant = torch.full((1, *BOX.shape), 3.0)
    torch.testing.assert_close(convolve(constant), constant)
    noise = torch.as_tensor(np.random.default_rng(1).standard_normal((1, *BOX.shape), dtype=np.float32))
    assert convolve(noise).std() < 0.5


def test_noise_has_the_stated_size_and_smoothness():
    white = torch.as_tensor(np.random.default_rng(2).standard_normal((3, *BOX.shape), dtype=np.float32))
    noise = smooth_noise(white, BOX, (6.0, 3.0), (2.0, 1.0))
    assert noise.std().item() == pytest.approx(5**0.5, rel=0.15)
    assert (noise[:, 1:] - noise[:, :-1]).std() < 0.5 * noise.std()


def test_the_velocity_of_a_growth_has_it_as_divergence():
    bumps = torch.as_tensor(np.random.default_rng(3).standard_normal((1, *BOX.shape), dtype=np.float32))
    growth = blur_mm(bumps, BOX, 6.0)[0]
    growth = growth - growth.mean()
    found = divergence(velocity_from_growth(growth, BOX), BOX.spacing_mm)[4:-4, 4:-4, 4:-4]
    assert torch.corrcoef(torch.stack([found.flatten(), growth[4:-4, 4:-4, 4:-4].flatten()]))[0, 1] > 0.99


def test_flowing_forth_and_back_returns_and_never_folds(velocity):
    forth, back = flow_on_lattice(velocity, BOX), flow_on_lattice(-velocity, BOX)
    nodes = BOX.points()
    moved = nodes + forth.reshape(3, -1)
    returned = moved + BOX.sample(back, moved)
    assert (moved - nodes).norm(dim=0).max() > 4.0
    assert (returned - nodes).norm(dim=0).max() < 0.1 * (moved - nodes).norm(dim=0).max()
    assert volume_change(forth, BOX.spacing_mm).min() > 0


def test_points_and_lattices_flow_alike(velocity):
    nodes = BOX.points()[:, 1000:2000]
    stepped = flow_points(lambda places: BOX.sample(velocity, places), nodes, steps=8)
    squared = nodes + BOX.sample(flow_on_lattice(velocity, BOX), nodes)
    assert (stepped - squared).norm(dim=0).max() < 0.1


def test_nodes_that_are_known_to_stay_need_not_be_computed(velocity):
    still = velocity * (BOX.points()[0].reshape(BOX.shape) > 0)
    moving = torch.nonzero(still.abs().amax(dim=0).reshape(-1))[:, 0]
    torch.testing.assert_close(flow_on_lattice(still, BOX, moving=moving), flow_on_lattice(still, BOX))


def test_volume_change_of_a_uniform_scaling_is_its_cube():
    displacement = 0.1 * BOX.points().reshape(3, *BOX.shape)
    torch.testing.assert_close(volume_change(displacement, 2.0), torch.full(BOX.shape, 1.1**3), atol=1e-3, rtol=0)


def test_a_map_is_inverted_even_where_it_is_steep(velocity):
    moved = 3 * flow_on_lattice(velocity, BOX)
    steep = moved * (
        0.9 / -torch.linalg.eigvals(gradients(lambda places: BOX.sample(moved, places), BOX.points())).real.min()
    )

    def carry(points):
        return points + BOX.sample(steep, points)

    points = BOX.points()[:, ::3]
    determinants = torch.linalg.det(gradients(carry, points))
    assert 0 < determinants.min() < 0.3
    found = invert(carry, carry(points), carry(points))
    assert (carry(found) - carry(points)).norm(dim=0).max() < 0.003
