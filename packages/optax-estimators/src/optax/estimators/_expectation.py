"""The parts of an estimator that are not its formula: arguments, distributions and costs, checked."""

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from optax.core import PyTree

__all__ = ["build", "cost", "float_leaves", "keys", "one_sample", "shapes"]


def float_leaves(params: PyTree) -> PyTree:
    """The parameters with arrays for leaves, every one of them floating."""
    if not isinstance(params, Mapping | Iterable) or getattr(params, "ndim", 1) == 0:
        raise TypeError(
            f"params must be a sequence of the arguments of dist_builder or a mapping of its keywords, got {params!r}"
        )

    def as_array(path: tuple[Any, ...], leaf: Any) -> jax.Array:
        x = jnp.asarray(leaf)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            name = f"params{jax.tree_util.keystr(path)}"
            raise TypeError(
                f"{name} has dtype {x.dtype}, and there is no gradient by it: give floats, "
                "or bind it to dist_builder beforehand"
            )
        return x.astype(x.dtype)  # strongly typed

    return jax.tree_util.tree_map_with_path(as_array, params)


def keys(rng: jax.Array, num_samples: int) -> jax.Array:
    """One PRNG key for each sample."""
    n = operator.index(num_samples)
    if n < 1:
        raise ValueError(f"num_samples must be >= 1, got {num_samples}")
    return jax.random.split(rng, n)


def build(dist_builder: Callable[..., Any], params: PyTree, *methods: str) -> Any:
    """The distribution at `params`: positional arguments from a sequence, keywords from a mapping."""
    distribution = dist_builder(**params) if isinstance(params, Mapping) else dist_builder(*params)
    for method in methods:
        if not callable(getattr(distribution, method, None)):
            raise TypeError(
                f"dist_builder must return a distribution with sample(seed=, sample_shape=) and log_prob(value), "
                f"got {type(distribution).__name__} without {method}"
            )
    return distribution


def one_sample(distribution: Any, key: jax.Array) -> PyTree:
    """One sample."""
    return distribution.sample(seed=key, sample_shape=())


def cost(function: Callable[[Any], Any], sample: PyTree, name: str = "function") -> jax.Array:
    """The function of one sample, which is the argument `name`, in float32 or float64."""
    value = jnp.asarray(function(sample))
    if value.shape != ():
        raise ValueError(
            f"{name} must map one sample, here of shape {shapes(sample)}, to a scalar, got shape {value.shape}"
        )
    if jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise TypeError(f"{name} must return a real number, got dtype {value.dtype}")
    return value.astype(jnp.float64 if value.dtype == jnp.float64 else jnp.float32)


def shapes(sample: PyTree) -> Any:
    """The shapes of a sample, for messages."""
    return jax.tree.map(jnp.shape, sample)
