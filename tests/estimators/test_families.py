"""Families and parameters are read off the distributions of every library alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.estimators import bernoulli, categorical, load_tfp, multi_normal
from optax.estimators._families import by_family, family_of

pytestmark = [pytest.mark.tfp, pytest.mark.usefixtures("lenient")]
P = jnp.array([0.4, 0.6])


def tfd(name):
    return getattr(load_tfp().distributions, name)


@pytest.mark.parametrize(
    ("build", "name", "parameters"),
    [
        (lambda: multi_normal(P, 0.0), "normal", {"loc": P, "scale": jnp.ones(2)}),
        (lambda: tfd("Normal")(P, 2.0), "normal", {"loc": P, "scale": jnp.full(2, 2.0)}),
        (lambda: tfd("Independent")(tfd("Normal")(0.0, P), 1), "normal", {"loc": jnp.zeros(2), "scale": P}),
        (lambda: tfd("MultivariateNormalDiag")(scale_diag=P), "normal", {"loc": jnp.zeros(2), "scale": P}),
        (lambda: bernoulli(P), "bernoulli", {"logits": P}),
        (lambda: tfd("Bernoulli")(probs=P), "bernoulli", {"logits": jnp.log(P / (1 - P))}),
        (lambda: categorical(P), "one_hot", {"logits": P}),
        (lambda: tfd("OneHotCategorical")(probs=P), "one_hot", {"logits": jnp.log(P)}),
        (lambda: tfd("Categorical")(logits=P), "categorical", {"logits": P}),
        (lambda: tfd("Poisson")(log_rate=P), "poisson", {"rate": jnp.exp(P)}),
        (lambda: tfd("Exponential")(P), "exponential", {"rate": P}),
        (lambda: tfd("Gamma")(2.0, log_rate=P), "gamma", {"concentration": jnp.full(2, 2.0), "rate": jnp.exp(P)}),
        (lambda: tfd("Weibull")(2.0, P), "weibull", {"concentration": jnp.full(2, 2.0), "scale": P}),
        (lambda: tfd("Uniform")(0.0, P), "uniform", {"low": jnp.zeros(2), "high": P}),
    ],
)
def test_parameters(build, name, parameters):
    family = family_of(build())
    assert family.name == name
    assert family.parameters.keys() == parameters.keys()
    for key, value in parameters.items():
        assert family.parameters[key].shape == value.shape
        np.testing.assert_allclose(family.parameters[key], value, 1e-6)


def test_chain_rule():
    """loc = 3 a, scale = exp(b) for both components."""
    family, to_params = by_family(lambda a, b: multi_normal(3 * a, b), [P, jnp.bfloat16(0.5)], "normal")
    rows = jnp.arange(6.0).reshape(3, 2)
    a, b = to_params({"loc": rows, "scale": rows})
    np.testing.assert_allclose(a, 3 * rows)
    assert (a.dtype, b.dtype, b.shape) == (jnp.float32, jnp.bfloat16, (3,))
    np.testing.assert_allclose(b.astype(jnp.float32), rows.sum(1) * np.exp(0.5), 1e-2)
    assert jnp.array_equal(family.parameters["loc"], 3 * P)


def test_a_derivative_that_is_missing_is_no_zero():
    _, to_params = by_family(lambda loc, log_scale: multi_normal(loc, log_scale), [P, P], "normal")
    with pytest.raises(
        ValueError, match=r"derivative by the scale of a normal distribution, which depends on params\[1\]"
    ):
        to_params({"loc": jnp.ones((3, 2))})
    _, to_params = by_family(lambda loc: multi_normal(loc, 0.0), {"loc": P})
    assert to_params({"loc": jnp.ones((3, 2))})["loc"].shape == (3, 2)


def test_families_that_do_not_fit():
    with pytest.raises(ValueError, match="of the family bernoulli or one_hot, got normal"):
        by_family(multi_normal, [P, P], "bernoulli", "one_hot")
    with pytest.raises(
        ValueError, match=r"of a known family \(bernoulli, .*\), got Dirichlet; score_function_jacobians"
    ):
        family_of(tfd("Dirichlet")(P))


def test_under_jit():
    run = jax.jit(lambda p: by_family(tfd("Poisson"), [p])[1]({"rate": jnp.ones((4, 2))})[0])
    assert jnp.array_equal(run(P), jnp.ones((4, 2)))
