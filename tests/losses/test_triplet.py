import re

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import triplet_margin_loss

NAN, INF = float("nan"), float("inf")
POINTS = hnp.arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32))  # one shape: compiled once
A, P, N = (jax.random.normal(jax.random.key(i), (3, 4)) for i in range(3))
compiled = jax.jit(triplet_margin_loss, static_argnames=("axis", "norm_degree", "margin", "eps"))


def definition(a, p, n, degree, margin, eps):
    a, p, n = (x.astype(np.float64) for x in (a, p, n))
    near, far = ((np.sum(np.abs(a - x) ** degree, axis=-1) + eps) ** (1 / degree) for x in (p, n))
    return np.maximum(near - far + margin, 0)


@pytest.mark.parametrize(("degree", "eps"), [(2, 1e-6), (2, 0.5), (1, 0.0), (3, 1e-3), (1.5, 0.0)])
def test_against_the_definition(degree, eps):
    @hypothesis.given(POINTS, POINTS, POINTS)
    def check(a, p, n):
        losses = compiled(a, p, n, norm_degree=degree, eps=eps, margin=20.0)
        np.testing.assert_allclose(losses, definition(a, p, n, degree, 20.0, eps), 1e-5, 1e-3)

    check()


def test_by_hand():
    assert triplet_margin_loss([0.0, 0.0], [3.0, 4.0], [0.0, 5.5], eps=0.0) == 0.5
    assert triplet_margin_loss([0.0, 0.0], [3.0, 4.0], [0.0, 6.5], eps=0.0) == 0
    assert triplet_margin_loss([0.0, 0.0], [3.0, -4.0], [0.0, 5.0], norm_degree=1, eps=0.0) == 3  # by magnitudes


@pytest.mark.parametrize("degree", [1, 1.5, 2, 3])
def test_coincident_points_without_eps(degree):
    """Defect E7: the gradient was NaN."""
    total = lambda a, p, n: triplet_margin_loss(a, p, n, norm_degree=degree, eps=0.0).sum()  # noqa: E731
    gradients = jax.jit(jax.grad(total, (0, 1, 2)))
    _, by_positive, by_negative = gradients(A, A, A)
    assert (by_positive == 0).all()
    assert (by_negative == 0).all()
    _, by_positive, by_negative = gradients(A, A, A.at[:, 1].add(0.125))
    assert (by_positive == 0).all()
    np.testing.assert_allclose(by_negative, [[0, -1, 0, 0]] * 3, atol=1e-5)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("scale", [1e-20, 1e-4, 1e30])
def test_distances_of_any_size(degree, scale):
    options = {"norm_degree": degree, "margin": 0.0, "eps": 0.0}
    total = lambda x, p, n: triplet_margin_loss(x, p, n, **options).sum()  # noqa: E731
    both = jax.jit(jax.value_and_grad(total))
    value, gradient = both(A * scale, P * scale, N * scale)
    expected, slope = both(A, P, N)
    assert expected > 0
    np.testing.assert_allclose(value / scale, expected, 1e-5)
    np.testing.assert_allclose(gradient, slope, 1e-4, 1e-6)


def test_eps_is_under_the_root_at_any_size():
    near = triplet_margin_loss(jnp.zeros(1), jnp.zeros(1), jnp.array([1e30]), margin=1e30, eps=1e-6)
    np.testing.assert_allclose(near, 1e-3, atol=1e-6 * 1e30)
    assert triplet_margin_loss(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1), eps=0.25) == 1
    assert triplet_margin_loss(jnp.zeros(1), jnp.array([1e-20]), jnp.ones(1) * 0.75, eps=1.0) == pytest.approx(0.75)


@pytest.mark.parametrize("axis", [0, (0, 1), (-1, 0)])
def test_axes(axis):
    losses = triplet_margin_loss(A, P, N, axis, margin=5.0)
    flat = [x.reshape(1, -1)[0] if isinstance(axis, tuple) else jnp.moveaxis(x, axis, -1) for x in (A, P, N)]
    np.testing.assert_allclose(losses, triplet_margin_loss(*flat, margin=5.0), 1e-6)


def test_features_left_out():
    mask = jnp.array([[True, False, True, True], [False] * 4, [True] * 4])
    a = jnp.where(mask, A, NAN)
    losses = triplet_margin_loss(a, P, N, margin=5.0, where=mask)
    keep = jnp.array([0, 2, 3])
    np.testing.assert_allclose(losses[0], triplet_margin_loss(A[0, keep], P[0, keep], N[0, keep], margin=5.0), 1e-6)
    assert losses[1] == 0  # and not the margin: nothing is known of this triplet
    mean = triplet_margin_loss(a, P, N, margin=5.0, where=mask, reduction="mean")
    assert mean == pytest.approx(losses.sum() / 2)


def test_the_order_of_the_arguments_is_that_of_existing_code():
    expected = definition(*(np.asarray(x) for x in (A, P, N)), 3, 4.0, 0.5)
    np.testing.assert_allclose(triplet_margin_loss(A, P, N, -1, 3, 4.0, 0.5), expected, 1e-5)


def test_numbers_can_be_traced():
    def total(degree, margin, eps):
        return triplet_margin_loss(A, P, N, -1, degree, margin, eps).sum()

    numbers = (2.5, 4.0, 0.1)
    np.testing.assert_allclose(jax.jit(total)(*numbers), total(*numbers), 1e-6)
    for i, slope in enumerate(jax.jit(jax.grad(total, (0, 1, 2)))(*numbers)):
        step = np.where(np.arange(3) == i, 1e-2, 0)
        rise = total(*(numbers + step).tolist()) - total(*(numbers - step).tolist())
        np.testing.assert_allclose(slope, rise / 2e-2, 1e-2, 1e-3)


@pytest.mark.parametrize("shape", [(1, 4), (4,), (3, 1), (3, 4, 1)])
def test_nothing_is_broadcast(shape):
    """Defect E1, of this loss: one positive for all anchors was accepted."""
    for i, name in ((1, "positives"), (2, "negatives")):
        arguments = [A, P, N]
        arguments[i] = jnp.zeros(shape)
        with pytest.raises(ValueError, match=re.escape(f"anchors and {name} must have the same shape, got (3, 4)")):
            triplet_margin_loss(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm_degree": 0.5}, "norm_degree must be at least 1"),
        ({"norm_degree": INF}, "norm_degree must be at least 1 and at most"),
        ({"eps": -1e-3}, "eps must be at least 0"),
        ({"margin": NAN}, "margin must be a number"),
        ({"axis": 2}, "axis=2 is not an axis of anchors"),
    ],
)
def test_numbers_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        triplet_margin_loss(A, P, N, **options)
