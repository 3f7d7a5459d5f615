import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from optax.projections import (
    _projections,
    projection_box,
    projection_halfspace,
    projection_hypercube,
    projection_hyperplane,
    projection_l1_ball,
    projection_l1_sphere,
    projection_l2_ball,
    projection_l2_sphere,
    projection_linf_ball,
    projection_non_negative,
    projection_simplex,
    projection_vector,
)
from reference import projections as naive
from x64 import enable_x64

N = 6
A = np.array([1.0, -2.0, 0.5, 0.0, 3.0, -1.0])
LOWER, UPPER = np.array([-1.0, 0, -3, 2, -np.inf, 0.5]), np.array([1.0, 0, np.inf, 2.5, -4, 0.75])


class Set(NamedTuple):
    """How to project a vector and a tree onto a set, and how to make a point of the set from any vector."""

    vector: Callable[[Any], Any]
    naive: Callable[[Any], Any]
    member: Callable[[Any], Any]
    convex: bool = True


def on_a_line(y):
    return A * y[0]


def within(y, norm, radius):
    return y * (radius / max(norm(y), radius))


SETS = {
    "box": Set(
        lambda x: projection_box(x, LOWER, UPPER),
        lambda x: np.clip(x, LOWER, UPPER),
        lambda y: np.clip(y, LOWER, UPPER),
    ),
    "hypercube": Set(lambda x: projection_hypercube(x, 2.0), lambda x: np.clip(x, 0, 2), lambda y: np.clip(y, 0, 2)),
    "linf": Set(lambda x: projection_linf_ball(x, 2.0), lambda x: np.clip(x, -2, 2), lambda y: np.clip(y, -2, 2)),
    "non_negative": Set(projection_non_negative, lambda x: np.maximum(x, 0), np.abs),
    "simplex": Set(
        lambda x: projection_simplex(x, 3.0),
        lambda x: naive.simplex(x, 3.0),
        lambda y: 3 * np.exp(y - y.max()) / np.exp(y - y.max()).sum(),
    ),
    "l1_ball": Set(
        lambda x: projection_l1_ball(x, 3.0),
        lambda x: naive.l1_ball(x, 3.0),
        lambda y: within(y, lambda v: np.abs(v).sum(), 3.0),
    ),
    "l2_ball": Set(
        lambda x: projection_l2_ball(x, 3.0), lambda x: naive.l2_ball(x, 3.0), lambda y: within(y, np.linalg.norm, 3.0)
    ),
    "l1_sphere": Set(
        lambda x: projection_l1_sphere(x, 3.0),
        lambda x: naive.l1_sphere(x, 3.0),
        lambda y: 3 * y / np.abs(y).sum() if y.any() else 3 * np.eye(N)[0],
        False,
    ),
    "l2_sphere": Set(
        lambda x: projection_l2_sphere(x, 3.0),
        lambda x: naive.l2_sphere(x, 3.0),
        lambda y: 3 * y / np.linalg.norm(y) if y.any() else 3 * np.eye(N)[0],
        False,
    ),
    "hyperplane": Set(
        lambda x: projection_hyperplane(x, jnp.asarray(A, x.dtype), 2.0),
        lambda x: naive.hyperplane(x, A, 2.0),
        lambda y: naive.hyperplane(y, A, 2.0),
    ),
    "halfspace": Set(
        lambda x: projection_halfspace(x, jnp.asarray(A, x.dtype), 2.0),
        lambda x: naive.halfspace(x, A, 2.0),
        lambda y: naive.halfspace(y, A, 2.0),
    ),
    "line": Set(lambda x: projection_vector(x, jnp.asarray(A, x.dtype)), lambda x: naive.line(x, A), on_a_line),
}
CONVEX = [name for name in SETS if SETS[name].convex]
RADIUS = [projection_simplex, projection_l1_ball, projection_l1_sphere, projection_l2_ball, projection_l2_sphere]
SCALED = [projection_hypercube, projection_linf_ball, *RADIUS]
VECTORS = hnp.arrays(
    np.float32,
    N,
    elements=st.sampled_from([0.0, 1.0, -1.0, 3.0]) | st.floats(-100, 100, width=32, allow_subnormal=False),
)


@functools.cache
def jitted(name: str) -> Callable[[Any], Any]:
    return jax.jit(SETS[name].vector)


def as_tree(x: Any) -> Any:
    return {"w": x[:2], "n": None, "e": jnp.zeros((0, 3)), "b": [x[2:4].reshape(1, 2), (x[4], x[5])]}


def as_vector(tree: Any) -> Any:
    return np.concatenate([np.ravel(part) for part in (tree["w"], tree["b"][0], *tree["b"][1])])


@pytest.mark.parametrize("name", SETS)
@hypothesis.given(VECTORS)
def test_it_is_what_the_textbook_says(name, x):
    hypothesis.assume(name != "l2_sphere" or x.any())
    expected = SETS[name].naive(x.astype(np.float64))
    np.testing.assert_allclose(jitted(name)(x), expected, rtol=2e-5, atol=5e-5)


@pytest.mark.parametrize("name", SETS)
@hypothesis.given(VECTORS, VECTORS)
def test_no_point_of_the_set_is_nearer(name, x, y):
    p = np.asarray(jitted(name)(x), np.float64)
    other = SETS[name].member(y.astype(np.float64))
    assert np.linalg.norm(x - p) <= np.linalg.norm(x - other) + 1e-4
    if SETS[name].convex:  # the angle between x - p and any way into the set is obtuse
        assert (x - p) @ (other - p) <= 1e-5 * (1 + np.abs(x).max()) * (1 + np.abs(other).max()) * 10


@pytest.mark.parametrize("name", SETS)
@hypothesis.given(VECTORS)
def test_twice_is_once(name, x):
    p = jitted(name)(x)
    np.testing.assert_allclose(jitted(name)(p), p, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", CONVEX)
@hypothesis.given(VECTORS, VECTORS)
def test_distances_do_not_grow(name, x, y):
    p, q = (np.asarray(jitted(name)(v), np.float64) for v in (x, y))
    assert np.linalg.norm(p - q) <= np.linalg.norm(x.astype(np.float64) - y) * (1 + 1e-5) + 1e-4


@pytest.mark.parametrize("name", ["box", "hypercube", "linf", "non_negative", "l1_ball", "l2_ball", "halfspace"])
@hypothesis.given(VECTORS)
def test_a_point_inside_comes_back_exactly(name, x):
    inside = SETS[name].member(x.astype(np.float64))
    if name in ("l1_ball", "l2_ball"):
        inside = 0.999 * inside
    if name == "halfspace":
        inside = inside - 0.01 * A
    inside = inside.astype(np.float32)
    assert np.array_equal(jitted(name)(inside), inside)


@pytest.mark.parametrize(
    ("project", "others"),
    [
        (projection_non_negative, ()),
        *((project, (1.5,)) for project in SCALED),
        (projection_hyperplane, (A.astype(np.float32), 2.0)),
        (projection_halfspace, (A.astype(np.float32), 2.0)),
        (projection_vector, (A.astype(np.float32),)),
        (projection_box, (LOWER.astype(np.float32), UPPER.astype(np.float32))),
    ],
)
def test_the_leaves_of_a_tree_are_one_vector(project, others):
    x = np.random.default_rng(0).normal(size=N).astype(np.float32) * 3
    expected = project(x, *others)
    tree_others = [as_tree(other) if np.ndim(other) else other for other in others]
    result = project(as_tree(x), *tree_others)
    assert jax.tree.structure(result) == jax.tree.structure(as_tree(x))
    assert [leaf.shape for leaf in jax.tree.leaves(result)] == [np.shape(leaf) for leaf in jax.tree.leaves(as_tree(x))]
    np.testing.assert_allclose(as_vector(result), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", SETS)
def test_vmap_is_a_loop(name):
    """Some examples of the batch are done much earlier than others."""
    x = (np.random.default_rng(1).normal(size=(7, N)) * 10.0 ** np.arange(-3, 4)[:, None]).astype(np.float32)
    expected = np.stack([SETS[name].vector(row) for row in x])
    np.testing.assert_allclose(jax.vmap(SETS[name].vector)(x), expected, rtol=2e-6, atol=1e-6)


def differences(f: Callable[[Any], Any], x: Any) -> Any:
    """The Jacobian, by central differences."""
    columns = [(f(x + step) - f(x - step)) / 2e-6 for step in 1e-6 * np.eye(len(x))]
    return np.stack(columns, axis=-1)


# Of the point and of a number that describes the set.
DIFFERENTIATED = {
    "box": lambda x, s: projection_box(x, -np.arange(6.0) * s, (A + 6) * s / 6),
    "hypercube": projection_hypercube,
    "linf": projection_linf_ball,
    "non_negative": lambda x, s: projection_non_negative(x * s),
    "simplex": projection_simplex,
    "l1_ball": projection_l1_ball,
    "l2_ball": projection_l2_ball,
    "l1_sphere": projection_l1_sphere,
    "l2_sphere": projection_l2_sphere,
    "hyperplane": lambda x, s: projection_hyperplane(x, A * s + s**2, s),
    "halfspace": lambda x, s: projection_halfspace(x, A * s + s**2, s - 20),
    "line": lambda x, s: projection_vector(x, A * s + s**2),
}


@pytest.mark.parametrize("name", SETS)
def test_derivatives(name):
    """Backward and forward, and once more, against differences."""
    with enable_x64():
        x = np.append(np.random.default_rng(3).normal(size=N) * 2, 1.5)
        f = jax.jit(lambda v: DIFFERENTIATED[name](v[:-1], v[-1]))
        derivatives = jax.jit(lambda v: (jax.jacrev(f)(v), jax.jacfwd(f)(v), jax.jacfwd(jax.jacrev(f))(v)))
        assert not np.allclose(f(x), x[:-1])  # the projection does something
        backward, forward, second = derivatives(x)
        np.testing.assert_allclose(backward, differences(f, x), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(forward, backward, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(second, differences(lambda v: derivatives(v)[0], x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("project", [projection_l1_ball, projection_l2_ball, projection_linf_ball])
def test_inside_and_on_the_boundary_the_derivative_is_the_identity(project):
    """Also at zero, and where the branch that is not taken divides by almost nothing."""
    derivatives = jax.jit(
        lambda x, s: (jax.jacrev(project)(x, s), jax.jacfwd(project)(x, s), jax.jacrev(project, 1)(x, s))
    )
    for x in ([0.0, 0.0], [1e-30, 0.5], [1.0, 0.0]):
        for scale in (1.0, 1e4, np.inf):
            backward, forward, by_scale = derivatives(jnp.array(x), scale)
            assert backward.tolist() == forward.tolist() == [[1, 0], [0, 1]]
            assert scale == 1 or by_scale.tolist() == [0, 0]


def test_the_derivative_is_one_on_the_faces_of_a_box():
    assert jax.grad(lambda x: projection_non_negative(x).sum())(jnp.array([0.0, -1.0, 1.0])).tolist() == [1, 0, 1]
    assert jax.grad(lambda x: projection_hypercube(x).sum())(jnp.array([0.0, 1.0, 2.0])).tolist() == [1, 1, 0]


def test_zero_onto_a_sphere():
    """All points of the sphere are nearest; one is returned, of the right norm, with a finite derivative."""
    zeros = {"a": jnp.zeros(3), "b": jnp.zeros(())}
    assert all((leaf == 1.0).all() for leaf in jax.tree.leaves(projection_l2_sphere(zeros, 2.0)))
    assert all((leaf == 0.5).all() for leaf in jax.tree.leaves(projection_l1_sphere(zeros, 2.0)))
    for project in (projection_l1_sphere, projection_l2_sphere):
        derivatives = jax.jit(jax.jacrev(project, (0, 1)))(zeros, 2.0)
        assert np.isfinite(ravel_pytree(derivatives)[0]).all()


def test_zeros_are_positive_on_the_l1_sphere():
    """From inside, elements of zero are moved too: with a sign of zero the result would not have the norm."""
    np.testing.assert_allclose(projection_l1_sphere(jnp.array([0.1, 0.0])), [0.55, 0.45], rtol=1e-6)
    np.testing.assert_allclose(projection_l1_sphere(jnp.array([-0.1, 0.0])), [-0.55, 0.45], rtol=1e-6)


FIRST_ON_SIMPLEX = jax.jit(lambda x, s: (projection_simplex(x, s), jax.jacrev(projection_simplex, (0, 1))(x, s)))


@pytest.mark.parametrize(
    ("x", "scale", "expected"),
    [
        ([1e30, 1e30, -1e30], 1.0, [0.5, 0.5, 0.0]),
        ([1e30, 0.0], 1.0, [1.0, 0.0]),
        ([1e8, 1e8 + 8, 1e8 + 8], 1.0, [0.0, 0.5, 0.5]),
        ([1e-30, 0.0, 0.0, -1e-30], 1.0, [0.25] * 4),
        ([2e-30, 1e-30], 1e-30, [1e-30, 0.0]),
        ([3e38, -3e38, 3e38], 1e38, [0.5e38, 0.0, 0.5e38]),
        ([2.0, 2.0, 2.0], 3.0, [1.0, 1.0, 1.0]),
        ([-np.inf, 1.0, 0.5], 1.0, [0.0, 0.75, 0.25]),
        ([-7.0], 2.5, [2.5]),
        ([1.0, 2.0], 0.0, [0.0, 0.0]),
    ],
)
def test_simplex_at_the_edges(x, scale, expected):
    filled = jnp.array(x + [-np.inf] * (4 - len(x)))  # of one shape: compiled once
    y, derivatives = FIRST_ON_SIMPLEX(filled, scale)
    np.testing.assert_allclose(y[: len(x)], expected, rtol=1e-6)
    assert np.isfinite(ravel_pytree(derivatives)[0]).all()


@pytest.mark.parametrize("size", [100_000, 70_001])
@pytest.mark.parametrize("spread", [1e-6, 1.0, 1e4])
def test_large_simplices(size, spread):
    """From all elements in the support to one; the sum is right although thousands of tiny terms are added up."""
    x = (np.random.default_rng(size).normal(size=size) * spread).astype(np.float32)
    y = np.asarray(projection_simplex({"a": x[:1000], "b": x[1000:]})["b"], np.float64)
    np.testing.assert_allclose(y, naive.simplex(x.astype(np.float64), 1.0)[1000:], rtol=1e-5, atol=2e-7)


def test_sums_that_overflow_half_precision():
    x = jnp.full((4096,), 60000.0, jnp.float16)
    assert (projection_simplex(x) == 1 / 4096).all()
    assert (projection_l1_ball(x) == 1 / 4096).all()


def test_norms_that_overflow_half_precision():
    """Defect A2: the norm of four 300s is no float16, and the projection must not be zero for that."""
    assert projection_l2_ball(jnp.full((4,), 300.0, jnp.float16)).tolist() == [0.5] * 4
    tiny = jnp.full((4,), 1e-4, jnp.float16)
    np.testing.assert_allclose(projection_l2_ball(tiny, 1e-4), [0.5e-4] * 4, rtol=1e-3)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_squares_that_overflow_single_precision(size):
    s = jnp.float32(size)
    np.testing.assert_allclose(projection_l2_ball(s * jnp.array([3.0, 4.0]), s) / s, [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(projection_l2_sphere(s * jnp.array([3.0, -4.0])), [0.6, -0.8], rtol=1e-6)
    x, a = jnp.array([3.0, 5.0]), s * jnp.array([1.0, 1.0])
    np.testing.assert_allclose(projection_vector(x, a), [4.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose(projection_hyperplane(x, a, s * 2), [0.0, 2.0], atol=1e-6)
    np.testing.assert_allclose(projection_halfspace(x, a, s * 2), [0.0, 2.0], atol=1e-6)
    np.testing.assert_allclose(projection_vector(s * x, a) / s, [4.0, 4.0], rtol=1e-6)
    for project in (projection_hyperplane, projection_halfspace):
        assert np.isfinite(jax.jacrev(project)(x, a, s * 2)).all()


def test_without_a_normal_vector():
    """The halfspace of 0 is everything or nothing; nothing is nearest then, so x stays."""
    x, zero = jnp.array([3.0, -1.0]), jnp.zeros(2)
    for b in (0.0, 1.0, -1.0):
        assert projection_hyperplane(x, zero, b).tolist() == [3.0, -1.0]
        assert projection_halfspace(x, zero, b).tolist() == [3.0, -1.0]
    assert projection_vector(x, zero).tolist() == [0.0, 0.0]
    for project, rest in ((projection_hyperplane, (1.0,)), (projection_halfspace, (-1.0,)), (projection_vector, ())):
        for argument in (0, 1):
            assert np.isfinite(jax.jacrev(project, argument)(x, zero, *rest)).all()


@pytest.mark.parametrize("project", [projection_simplex, projection_l2_ball, projection_hypercube])
def test_every_leaf_keeps_its_dtype(project):
    tree = {"a": jnp.array([3.0, -1.0], jnp.bfloat16), "b": jnp.array(2.5), "c": jnp.array([0.25], jnp.float16)}
    result = project(tree, jnp.asarray(1.5, jnp.bfloat16))
    assert {k: v.dtype for k, v in result.items()} == {k: v.dtype for k, v in tree.items()}
    exact = project({k: v.astype(jnp.float32) for k, v in tree.items()}, 1.5)
    for k, v in result.items():
        assert jnp.array_equal(v, exact[k].astype(v.dtype))


def test_double_precision():
    with enable_x64():
        x = np.random.default_rng(0).normal(size=50)
        for project in (projection_simplex, projection_l1_ball, projection_l2_ball):
            result = project({"x": x, "y": np.float32(0.5)})
            assert (result["x"].dtype, result["y"].dtype) == (np.float64, np.float32)
            expected = getattr(naive, project.__name__.removeprefix("projection_"))(np.append(x, 0.5), 1.0)
            np.testing.assert_allclose(result["x"], expected[:50], rtol=1e-13, atol=1e-15)
        # A float64 bound or normal vector counts in full, though x has less precision.
        y = projection_hyperplane(np.ones(2, np.float32), np.array([1.0, 1e-9]), 1e-9)
        np.testing.assert_allclose(y, [0.0, 1.0], atol=1e-12)


def test_integers():
    """Norms and sums make floats of them; bounds that are integers do not."""
    assert projection_simplex(jnp.array([3, 2, -1])).dtype == jnp.float32
    assert projection_l2_ball({"a": jnp.array([3, 4])})["a"].tolist() == pytest.approx([0.6, 0.8])
    x = jnp.array([3, -1, 200], jnp.int16)
    for result, expected in (
        (projection_hypercube(x), [1, 0, 1]),
        (projection_linf_ball(x, 2), [2, -1, 2]),
        (projection_non_negative(x), [3, 0, 200]),
        (projection_box(x, -100_000, 10**12), [3, -1, 200]),
        (projection_box(x, jnp.array([0, 0, 300], jnp.int32), None), [3, 0, 300]),
        (jax.jit(projection_linf_ball)(x, 2), [2, -1, 2]),
    ):
        assert result.dtype == jnp.int16
        assert result.tolist() == expected
    assert projection_box(x.astype(jnp.uint8), -5, 3).tolist() == [3, 3, 3]
    halves = projection_linf_ball(x, 1.5)
    assert (halves.dtype, halves.tolist()) == (jnp.float32, [1.5, -1.0, 1.5])


def test_complex_vectors_have_norms():
    """With the moduli of the elements; the l1 ball shrinks those and keeps the phases."""
    x = jnp.array([3 + 4j, 1j, 0])
    np.testing.assert_allclose(projection_l1_ball(x, 2.0), [1.2 + 1.6j, 0, 0], atol=1e-6)
    np.testing.assert_allclose(projection_l2_ball(x, 2.6), 0.5099019 * x, rtol=1e-6)
    for project in (projection_l1_ball, projection_l1_sphere, projection_l2_ball, projection_l2_sphere):
        assert project(x).dtype == jnp.complex64
        gradient = jax.jit(jax.grad(lambda z, f=project: f(z).real.sum()))
        for point in (x, jnp.zeros_like(x)):
            assert np.isfinite(gradient(point)).all()


def test_derivatives_of_complex_l1_ball():
    with enable_x64():
        x = jnp.array([3 + 4j, 1j - 3, 0.1j])
        jax.test_util.check_grads(jax.jit(projection_l1_ball), (x, jnp.asarray(5.0)), order=1, modes=("fwd", "rev"))


@pytest.mark.parametrize("project", [projection_non_negative, *SCALED])
@pytest.mark.parametrize("tree", [{}, None, {"a": None}, jnp.zeros((0, 2)), {"a": jnp.zeros(0), "b": None}])
def test_nothing_to_project(project, tree):
    result = project(tree)
    assert jax.tree.structure(result) == jax.tree.structure(tree)
    assert [leaf.shape for leaf in jax.tree.leaves(result)] == [leaf.shape for leaf in jax.tree.leaves(tree)]
    for project_linearly in (projection_hyperplane, projection_halfspace):
        assert jax.tree.structure(project_linearly(tree, tree, 1.0)) == jax.tree.structure(tree)


def test_numbers_and_lists_are_trees_too():
    assert projection_l2_ball([3.0, 4]) == [pytest.approx(0.6), pytest.approx(0.8)]
    assert float(projection_l1_ball(-2.0)) == -1.0


@pytest.mark.parametrize("project", [projection_non_negative, *SCALED])
def test_nan_is_not_hidden(project):
    assert np.isnan(project(jnp.array([np.nan, 1.0]))).any()
    if project in RADIUS:
        assert np.isnan(project(jnp.array([np.nan, 1.0]))).all()


def test_a_box_in_every_spelling():
    tree = {"a": jnp.array([-3.0, 0.25]), "b": (jnp.array(7.0), None)}
    for lower, upper, expected in (
        (0, 1, [0.0, 0.25, 1.0]),
        (jnp.float32(0), np.float64(1), [0.0, 0.25, 1.0]),
        (None, 1.5, [-3.0, 0.25, 1.5]),
        ({"a": 0, "b": (8.0, None)}, None, [0.0, 0.25, 8.0]),
        ({"a": None, "b": (None, None)}, {"a": np.array([1.0, 0.0]), "b": (2, 5.0)}, [-3.0, 0.0, 2.0]),
        (None, None, [-3.0, 0.25, 7.0]),
    ):
        result = projection_box(tree, lower, upper)
        assert result["b"][1] is None
        assert [*result["a"].tolist(), result["b"][0].tolist()] == expected


@pytest.mark.parametrize("project", SCALED)
def test_scales_that_cannot_be_meant(project):
    x = jnp.array([1.0, -2.0])
    with pytest.raises(ValueError, match=r"^scale must be at least 0, not -1"):
        project(x, -1)
    with pytest.raises(ValueError, match="scale must be at least 0, not nan"):
        project(x, np.nan)
    with pytest.raises(TypeError, match="scale must be a real number"):
        project(x, jnp.ones(2))
    with pytest.raises(ValueError, match=r"scale must be a scalar, not of shape \(2,\)"):
        jax.jit(project)(x, jnp.ones(2))
    assert np.isnan(jax.jit(project)(x, -1.0)).all()


@pytest.mark.parametrize("project", SCALED)
def test_scales_of_zero_and_of_every_kind(project):
    x = jnp.array([1.0, -2.0])
    assert (project(x, 0) == 0).all()
    expected = project(x, 0.5)
    for scale in (np.float64(0.5), jnp.bfloat16(0.5), np.array(0.5, np.float32)):
        assert jnp.array_equal(project(x, scale), expected)
    np.testing.assert_allclose(jax.jit(project)(x, 0.5), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(project, (None, 0))(x, jnp.array([0.5, 2.0]))[0], expected, rtol=1e-6)


def test_boxes_that_are_empty():
    with pytest.raises(ValueError, match=r"^lower is above upper at \['b'\]: "):
        projection_box({"a": 1.0, "b": jnp.ones(2)}, {"a": 0, "b": np.array([0.0, 2.0])}, 1)
    result = jax.jit(projection_box)(jnp.zeros(2), jnp.array([0.0, 2.0]), 1.0)
    assert result[0] == 0
    assert np.isnan(result[1])


@pytest.mark.parametrize(
    "project", [projection_hyperplane, projection_halfspace, lambda x, a, b: projection_vector(x, a)]
)
def test_trees_that_do_not_match(project):
    x = {"w": {"k": jnp.ones((2, 3))}}
    with pytest.raises(ValueError, match=re.escape("same shape at ['w']['k'], got (2, 3) and (3,)")):
        project(x, {"w": {"k": jnp.ones(3)}}, 1.0)
    with pytest.raises(ValueError, match="x and a must have the same shape"):
        project(x, {"w": {"k": 1.0}}, 1.0)
    with pytest.raises(ValueError, match=r"x and a must have the same tree structure, got .*'w'.* and"):
        project(x, jnp.ones((2, 3)), 1.0)
    with pytest.raises(ValueError, match=re.escape("a has None at ['w']['k'] where x has an array")):
        project(x, {"w": {"k": None}}, 1.0)
    with pytest.raises(ValueError, match=re.escape("x has None at ['w']['k'] where a has an array")):
        project({"w": {"k": None}}, x, 1.0)


def test_bounds_that_do_not_match():
    with pytest.raises(
        ValueError, match=re.escape("tree and upper must have the same shape at ['a'], got (3,) and (1,)")
    ):
        projection_box({"a": jnp.ones(3)}, 0, {"a": jnp.ones(1)})
    with pytest.raises(ValueError, match="tree and lower must have the same tree structure"):
        projection_box({"a": jnp.ones(3)}, jnp.zeros(3), 1)


@pytest.mark.parametrize("b", [jnp.ones(2), "1", None, 1j])
@pytest.mark.parametrize("project", [projection_hyperplane, projection_halfspace])
def test_offsets_that_are_no_scalars(project, b):
    with pytest.raises(TypeError, match="b must be a real number"):
        project(jnp.ones(2), jnp.ones(2), b)


def test_leaves_that_are_no_numbers():
    for leaf in ("text", jnp.array([True])):
        with pytest.raises(TypeError, match=r"tree\['a'\] must be numbers, got dtype"):
            projection_l2_ball({"a": leaf})
    for project in (projection_simplex, projection_hypercube, projection_linf_ball, projection_non_negative):
        with pytest.raises(TypeError, match=r"tree\[0\] must be real numbers, got dtype complex64"):
            project([jnp.ones(2, jnp.complex64)])
    with pytest.raises(TypeError, match="a must be real numbers"):
        projection_vector(jnp.ones(2), jnp.ones(2, jnp.complex64))


def test_outside_of_jit_the_program_is_compiled_once():
    projection_simplex(jnp.arange(3.0))
    before = _projections._onto_simplex._cache_size()
    projection_simplex(jnp.arange(3.0) + 1, 2.0)
    assert _projections._onto_simplex._cache_size() == before
