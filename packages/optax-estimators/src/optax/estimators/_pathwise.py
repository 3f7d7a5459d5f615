"""The pathwise estimator, also called the reparameterisation trick."""

from collections.abc import Callable
from typing import Any

import jax

from optax.core import PyTree
from optax.estimators._differentiability import follows, require_derivative
from optax.estimators._distributions import Distribution
from optax.estimators._expectation import build, cost, float_leaves, keys, one_sample

__all__ = ["pathwise_jacobians"]


def pathwise_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
) -> PyTree:
    """Gradients of an expectation by differentiation through the samples.

        J_i = grad function(x(e_i; params)),    x(e_i; params) ~ p(x; params),    E[J_i] = grad E[function(x)]

    where e_i is the noise that the samples are made of. The samples must follow the parameters differentiably and
    the function must be differentiable; where either is known not to be, this raises instead of returning zeros.

    Args:
      function: maps one sample to a real scalar, differentiably.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a `Distribution`; `log_prob` may be missing.
      rng: a PRNG key. The samples are the same as those of `score_function_jacobians` with this key.
      num_samples: how many samples, >= 1; static under `jit`.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: there are no samples, `function` is not scalar for one sample or has no derivative, or the
        distribution is not reparameterised.
      TypeError: a leaf is not floating, or the distribution has no `sample`.

    Reference:
      Mohamed et al., "Monte Carlo Gradient Estimation in Machine Learning", 2020, JMLR 21(132), section 5.
    """
    params = float_leaves(params)
    each = keys(rng, num_samples)

    def draw(p: PyTree, key: jax.Array) -> PyTree:
        return one_sample(build(dist_builder, p, "sample"), key)

    require_reparameterised(dist_builder, params, rng)
    require_derivative("function", lambda x: cost(function, x), jax.eval_shape(draw, params, rng), _INSTEAD)
    return jax.vmap(jax.grad(lambda p, key: cost(function, draw(p, key))), in_axes=(None, 0))(params, each)


def require_reparameterised(dist_builder: Callable[..., Distribution], params: PyTree, rng: jax.Array) -> None:
    """Raise unless the samples follow every parameter that the density depends on."""
    distribution = build(dist_builder, params, "sample")
    name = type(distribution).__name__
    if "NOT_REPARAMETERIZED" in repr(jax.tree.leaves(getattr(distribution, "reparameterization_type", None))):
        raise ValueError(f"{name} says that it is not reparameterised; {_INSTEAD}")

    def sample(p: PyTree) -> PyTree:
        return one_sample(build(dist_builder, p), rng)

    def log_prob(p: PyTree) -> Any:
        return build(dist_builder, p).log_prob(jax.lax.stop_gradient(sample(params)))

    in_sample = follows(sample, params)
    if in_sample and not any(in_sample):
        raise ValueError(f"samples of {name} do not follow its parameters; {_INSTEAD}")
    try:
        in_density = follows(log_prob, params) if hasattr(distribution, "log_prob") else in_sample
    except NotImplementedError:  # how TensorFlow Probability says that there is no density
        in_density = in_sample
    for (path, _), sampled, dense in zip(
        jax.tree_util.tree_leaves_with_path(params), in_sample, in_density, strict=True
    ):
        if dense and not sampled:
            leaf = f"params{jax.tree_util.keystr(path)}"
            raise ValueError(f"the density of {name} depends on {leaf}, but its samples do not follow it; {_INSTEAD}")


_INSTEAD = "pathwise gradients would be zero and wrong, use score_function_jacobians"
