"""How the contract calls each factory: by its required arguments, and in the variants worth a run of their own."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

import optax
from contract.signatures import examples
from optax.core import GradientTransformation


def matrices(params: Any) -> Any:
    """A mask: True for everything of two axes or more."""
    return jax.tree.map(lambda p: jnp.ndim(p) >= 2, params)


def falling(count: Any) -> Any:
    """A schedule."""
    return 0.1 / (1.0 + jnp.asarray(count, jnp.float32))


def doubled(tree: Any, params: Any = None) -> Any:
    """A function of whole trees, or of leaves."""
    return jax.tree.map(lambda x: 2 * x, tree)


# What a required parameter of this name gets.
ARGUMENTS: dict[str, Any] = {
    "decay": 0.9,
    "f": doubled,
    "inner": optax.trace(0.9),
    "learning_rate": 0.1,
    "mask": matrices,
    "max_norm": 1.0,
    "step_size": 0.5,
    "step_size_fn": falling,
    "tx": optax.scale(0.5),
}

# Arguments beyond the required ones, by factory.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "adam": [{"learning_rate": falling}, {"learning_rate": None}, {"nesterov": True}, {"mu_dtype": "float32"}],
    "adamw": [{"mask": matrices}, {"weight_decay": falling}, {"nesterov": True, "eps_root": 1e-8}],
    "scale_by_adam": [{"mu_dtype": "bfloat16", "nu_dtype": "bfloat16"}, {"b1": 0.0, "b2": 0.0}],
    "scale_by_learning_rate": [{"learning_rate": 0.1, "flip_sign": False}],
    "sgd": [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}],
    "trace": [{"nesterov": True, "accumulator_dtype": "float32"}],
}

POSITIONAL: dict[str, list[tuple[Any, ...]]] = {
    "chain": [(), (optax.clip_by_global_norm(1.0), optax.adamw(falling)), (optax.chain(), optax.chain(optax.sgd(0.1)))],
}


def calls(name: str, factory: Callable[..., GradientTransformation]) -> Iterator[GradientTransformation]:
    """The transformations that the contract is checked on."""
    if name in POSITIONAL:
        yield from (factory(*args) for args in POSITIONAL[name])
        return
    base = examples(factory, ARGUMENTS, "tests/contract/calls.py")
    yield factory(**base)
    yield from (factory(**base | variant) for variant in VARIANTS.get(name, ()))
