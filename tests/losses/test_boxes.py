import itertools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import ciou_loss, diou_loss, giou_loss, iou_loss
from reference import box_losses as reference

LOSSES = [iou_loss, giou_loss, diou_loss, ciou_loss]
COMPILED = {loss: jax.jit(loss) for loss in LOSSES}
SLOPES = {loss: jax.jit(jax.grad(lambda p, t, loss=loss: loss(p, t).sum(), (0, 1))) for loss in LOSSES}
CORNERS = hnp.arrays(np.float32, (2, 3, 2), elements=st.floats(-4, 4, width=32))  # one shape: compiled once
SIZES = hnp.arrays(np.float32, (2, 3, 2), elements=st.floats(0.125, 8, width=32))
each_loss = pytest.mark.parametrize("loss", LOSSES)


@each_loss
@hypothesis.given(CORNERS, SIZES)
def test_against_the_definition(loss, corners, sizes):
    p, t = np.concatenate([corners, corners + sizes], axis=-1)
    expected = [getattr(reference, loss.__name__)(*map(np.float64, pair)) for pair in zip(p, t, strict=True)]
    value = COMPILED[loss](p, t)
    np.testing.assert_allclose(value, expected, 1e-4, 1e-4)
    assert (value >= -1e-6).all()
    np.testing.assert_allclose(COMPILED[loss](t, p), value, 1e-4, 1e-5)


def test_by_hand():
    p, t = [0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 4.0]  # 2 in both, 10 in either, 12 around them
    assert iou_loss(p, t) == pytest.approx(0.8)
    assert giou_loss(p, t) == pytest.approx(0.8 + 2 / 12)
    assert diou_loss(p, t) == pytest.approx(0.8 + 2 / 25)
    v = 4 / np.pi**2 * (np.arctan(0.5) - np.pi / 4) ** 2
    assert ciou_loss(p, t) == pytest.approx(0.8 + 2 / 25 + v**2 / (0.8 + v))


@each_loss
def test_equal_boxes_cost_nothing_and_stay(loss):
    box = jnp.array([[0.5, 1.0, 2.0, 5.0]])
    assert COMPILED[loss](box, box).tolist() == [0]
    for slope in SLOPES[loss](box, box):
        np.testing.assert_allclose(slope, 0, atol=1e-6)


@each_loss
@pytest.mark.parametrize("scale", [1e-6, 1e6, 1e-20, 1e25])
def test_scale(loss, scale):
    """Losses do not depend on the unit, and slopes are in its inverse."""
    p, t = jnp.array([[0.0, 0.0, 2.0, 2.0]]), jnp.array([[1.0, 0.5, 3.0, 4.0]])
    s = jnp.float32(scale)
    np.testing.assert_allclose(COMPILED[loss](p * s, t * s), COMPILED[loss](p, t), 1e-5)
    for got, expected in zip(SLOPES[loss](p * s, t * s), SLOPES[loss](p, t), strict=True):
        np.testing.assert_allclose(got * s, expected, 1e-4, 1e-5)


@each_loss
def test_boxes_apart_pull_unless_only_the_overlap_counts(loss):
    p, t = jnp.array([[0.0, 0.0, 1.0, 1.0]]), jnp.array([[3.0, 0.0, 4.0, 1.0]])
    assert COMPILED[loss](p, t)[0] >= 1
    moved = float(SLOPES[loss](p, t)[0][0, ::2].sum())  # by a shift to the right
    assert moved == 0 if loss is iou_loss else moved < 0


DEGENERATE = [
    [0.0, 0.0, 0.0, 0.0],  # a point
    [0.0, 0.0, 1.0, 0.0],  # a line
    [0.0, 0.0, 0.0, 1.0],
    [1.0, 1.0, 0.0, 0.0],  # both corners in the wrong order
    [1.0, 0.0, 0.0, 1.0],
    [3.0, 3.0, 2.0, 4.0],
    [0.0, 0.0, 1.0, 1.0],
    [1.0, 0.0, 2.0, 1.0],  # touches the one before
    [0.0, 0.0, 1e-30, 1e-30],
    [2.0, 2.0, 2.0 + 1e-6, 3.0],
]


@each_loss
def test_degenerate_boxes(loss):
    p, t = (jnp.array(boxes) for boxes in zip(*itertools.product(DEGENERATE, repeat=2), strict=True))
    value = COMPILED[loss](p, t)
    assert (value >= 0).all()
    assert (value <= (3 if loss is ciou_loss else 2)).all()
    for slope in SLOPES[loss](p, t):
        assert jnp.isfinite(slope).all()


@each_loss
def test_two_boxes_without_area_have_no_overlap_even_if_equal(loss):
    boxes = jnp.array(DEGENERATE[:6])
    space = [0, 0, 0, 1, 1, 1] if loss is giou_loss else [0] * 6  # within the corners of the wrong order
    np.testing.assert_allclose(COMPILED[loss](boxes, boxes), 1 + np.array(space), 1e-6)


def test_small_boxes_far_apart():
    p, t = jnp.array([[0.0, 0.0, 1e-10, 1e-10]]), jnp.array([[1.0, 1.0, 1 + 2e-7, 1 + 2e-7]])
    for loss in LOSSES:
        assert COMPILED[loss](p, t)[0] >= 1
        for slope in SLOPES[loss](p, t):
            assert jnp.isfinite(slope).all()


def test_wrong_corners_are_turned_round():
    p, t = jnp.array([[2.0, 0.0, -1.0, 1.0]]), jnp.array([[0.0, 0.0, 1.0, 1.0]])
    slope = SLOPES[giou_loss](p, t)[0][0]
    assert slope[0] > 0 > slope[2]  # descent moves x1 to the left and x2 to the right


def test_one_weight_of_the_last_loss_is_not_differentiated():
    p, t = jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([1.0, 0.0, 3.0, 4.0])
    v = 4 / np.pi**2 * (np.arctan(0.5) - np.pi / 4) ** 2
    alpha = v / (0.8 + v)
    slope = jax.grad(ciou_loss)(p, t) - jax.grad(diou_loss)(p, t)
    by_width = 8 / np.pi**2 * (np.pi / 4 - np.arctan(0.5)) * 2 / 8  # d arctan(w / h) = h dw / (w^2 + h^2)
    np.testing.assert_allclose(slope, alpha * by_width * np.array([-1, 1, 1, -1]), 1e-4)


@each_loss
def test_axis_and_mask(loss):
    p, t = jnp.array([[0.0, 0.0, 2.0, 2.0]] * 3), jnp.array([[1.0, 0.0, 3.0, 4.0]] * 3)
    value = COMPILED[loss](p, t)
    assert jnp.array_equal(loss(p.T, t.T, axis=0), value)
    keep = jnp.array([True, False, True])
    spoilt = p.at[1].set(jnp.nan)
    mean, gradient = jax.value_and_grad(lambda p: loss(p, t, where=keep, reduction="mean"))(spoilt)
    assert mean == pytest.approx(float(value[0]))
    assert (gradient[1] == 0).all()
    with pytest.raises(ValueError, match=r"where and the losses must have the same shape, got \(3, 4\) and \(3,\)"):
        loss(p, t, where=jnp.ones((3, 4), bool))


@each_loss
def test_boxes_have_four_coordinates(loss):
    with pytest.raises(ValueError, match=r"predictions of shape \(2, 5\) must have the four coordinates of boxes"):
        loss(jnp.zeros((2, 5)), jnp.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"predictions and targets must have the same shape, got \(2, 4\) and \(4,\)"):
        loss(jnp.zeros((2, 4)), jnp.zeros(4))
    with pytest.raises(ValueError, match="axis=2 is not an axis of predictions"):
        loss(jnp.zeros((2, 4)), jnp.zeros((2, 4)), axis=2)


@each_loss
def test_empty(loss):
    assert loss(jnp.zeros((0, 4)), jnp.zeros((0, 4))).shape == (0,)
