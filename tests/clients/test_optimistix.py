"""optimistix: OptaxMinimiser takes the closures of a transformation apart and passes value, grad and value_fn."""

import jax
import jax.numpy as jnp
import optimistix
import pytest

import optax

pytestmark = pytest.mark.usefixtures("promotion_inside")


def rosenbrock(x: jax.Array, scale: jax.Array) -> jax.Array:
    return (1 - x[0]) ** 2 + scale * (x[1] - x[0] ** 2) ** 2


@pytest.mark.parametrize(
    ("tx", "steps"),
    [
        (optax.adam(0.05), 5000),
        (optax.adam(jnp.asarray(0.05)), 5000),
        (optax.sgd(optax.exponential_decay(1e-3, 10000, 0.5), momentum=0.95), 5000),
        (optax.chain(optax.clip_by_global_norm(100.0), optax.adam(0.05)), 5000),
        (optax.lbfgs(), 100),
    ],
    ids=["adam", "adam with an array", "sgd", "chain", "lbfgs"],
)
def test_minimises_rosenbrock(tx: optax.GradientTransformation, steps: int) -> None:
    solver = optimistix.OptaxMinimiser(tx, rtol=1e-7, atol=1e-9)
    solution = optimistix.minimise(rosenbrock, solver, jnp.array([-1.2, 1.0]), jnp.float32(100.0), max_steps=steps)
    assert solution.result == optimistix.RESULTS.successful
    assert jnp.allclose(solution.value, 1.0, atol=2e-3)


def test_best_so_far() -> None:
    """A wrapper of optimistix around the wrapper: its state holds ours as it is."""
    inner = optimistix.OptaxMinimiser(optax.sgd(0.3), rtol=1e-6, atol=1e-6)
    solution = optimistix.minimise(
        lambda x, _: jnp.sum((x - 2) ** 2), optimistix.BestSoFarMinimiser(inner), jnp.zeros(3), max_steps=100
    )
    assert jnp.allclose(solution.value, 2.0, atol=1e-4)


def test_a_solution_is_differentiated_through_the_steps() -> None:
    """Of x² - a x from 0: three steps of size 1/4 halve the distance from a/2 each, so x = (1 - 1/8) a/2."""

    def solved(a: jax.Array) -> jax.Array:
        solver = optimistix.OptaxMinimiser(optax.sgd(0.25), rtol=0.0, atol=0.0)
        return optimistix.minimise(
            lambda x, a: x * x - a * x,
            solver,
            jnp.float32(0.0),
            a,
            max_steps=3,
            throw=False,
            adjoint=optimistix.RecursiveCheckpointAdjoint(),
        ).value

    assert jax.value_and_grad(solved)(jnp.float32(3.0)) == pytest.approx((7 / 8 * 1.5, 7 / 16), rel=1e-6)
