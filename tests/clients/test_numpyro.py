"""numpyro: SVI tells an optax optimizer by `isinstance(optim, optax.GradientTransformation)`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import pytest
from numpyro import distributions
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.optim import optax_to_numpyro

import optax
from clients.problem import OFFSET, SLOPE, X, Y, loss, zeros

pytestmark = pytest.mark.usefixtures("promotion_inside")


def model(y: Any) -> None:
    slope = numpyro.sample("slope", distributions.Normal(0.0, 10.0).expand([3]).to_event(1))
    offset = numpyro.sample("offset", distributions.Normal(0.0, 10.0))
    numpyro.sample("y", distributions.Normal(X @ slope + offset, 0.1), obs=y)


@pytest.mark.parametrize(
    "tx",
    [
        optax.adam(optax.cosine_decay_schedule(0.1, 1000)),
        optax.chain(optax.clip(10.0), optax.adam(optax.cosine_decay_schedule(0.1, 1000))),
    ],
    ids=["adam", "chain"],
)
def test_variational_inference_finds_the_posterior(tx: optax.GradientTransformation) -> None:
    svi = SVI(model, AutoNormal(model), tx, Trace_ELBO(num_particles=4))
    result = svi.run(jax.random.key(0), 1000, Y, progress_bar=False, stable_update=True)
    assert result.losses[-100:].mean() < result.losses[:10].mean() / 100
    # In a conjugate model the posterior is normal, and near the least squares solution.
    assert jnp.allclose(result.params["slope_auto_loc"], SLOPE, atol=0.05)
    assert jnp.allclose(result.params["offset_auto_loc"], OFFSET, atol=0.05)
    # A mean-field guide has the inverse of the precision's diagonal: sum x² / 0.1² + 1 / 10².
    precision = jnp.append(jnp.sum(X**2, axis=0), len(X)) / 0.01
    scales = jnp.append(result.params["slope_auto_scale"], result.params["offset_auto_scale"])
    assert jnp.allclose(scales, precision**-0.5, rtol=0.2)


def test_minimizes_as_an_optimizer_of_numpyro() -> None:
    optimizer = optax_to_numpyro(optax.sgd(0.2, momentum=0.5))
    state = optimizer.init(zeros())
    step = jax.jit(lambda state: optimizer.eval_and_update(lambda params: (loss(params), None), state))
    for _ in range(100):
        (value, _), state = step(state)
    assert value < 1e-6
    assert jnp.allclose(optimizer.get_params(state)["slope"], SLOPE, atol=1e-3)


def test_a_pair_of_functions_is_no_optimizer() -> None:
    tx = optax.sgd(0.1)
    with pytest.raises(TypeError, match="GradientTransformation"):
        SVI(model, AutoNormal(model), tuple(tx), Trace_ELBO())
