"""gpjax: fits trees of equinox, and asks the state of L-BFGS for `count`, `grad` and `value` by `optax.tree_utils`."""

from typing import Any

import gpjax
import jax
import jax.numpy as jnp
import pytest

import optax


# gpjax itself calls what has another name today.
@pytest.mark.filterwarnings("ignore:optax.tree_utils.tree_l2_norm is deprecated:DeprecationWarning")
@pytest.mark.usefixtures("promotion_inside")
def test_adam_and_lbfgs_find_the_same_kernel() -> None:
    def loss(model: Any, data: gpjax.Dataset) -> jax.Array:
        return -gpjax.objectives.conjugate_mll(model, data)

    def kernel(model: Any) -> list[float]:
        found = model.prior.kernel
        return [float(gpjax.parameters.paramax.unwrap(x)) for x in (found.lengthscale, found.variance)]

    with jax.enable_x64(True):  # what gpjax is made for
        x = jnp.linspace(0.0, 5.0, 30)[:, None]
        data = gpjax.Dataset(X=x, y=jnp.sin(x) + 0.1 * jnp.cos(17 * x))
        prior = gpjax.gps.Prior(mean_function=gpjax.mean_functions.Zero(), kernel=gpjax.kernels.RBF())
        model = prior * gpjax.likelihoods.Gaussian()
        by_adam, history = gpjax.fit(
            model=model, objective=loss, train_data=data, optim=optax.adam(0.1), num_iters=300, verbose=False
        )
        by_lbfgs, final = gpjax.fit_lbfgs(model=model, objective=loss, train_data=data)
        assert final < history[0]
        assert history[-1] == pytest.approx(float(final), abs=1e-6)
        assert kernel(by_adam) == pytest.approx(kernel(by_lbfgs), rel=1e-3)
