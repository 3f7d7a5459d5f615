"""How the contract calls each factory: by its required arguments, and in the variants worth a run of their own."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import optax
from contract.signatures import examples
from optax.core import GradientTransformation, over_leaves
from optax.core.testing import Subject, factories


def matrices(params: Any) -> Any:
    """A mask: True for everything of two axes or more."""
    return jax.tree.map(lambda p: jnp.ndim(p) >= 2, params)


def falling(count: Any) -> Any:
    """A schedule."""
    return 0.1 / (1.0 + jnp.asarray(count, jnp.float32))


def kinds(params: Any) -> Any:
    """Labels: "matrix" for everything of two axes or more, "other" for the rest."""
    return jax.tree.map(lambda p: "matrix" if jnp.ndim(p) >= 2 else "other", params)


def every_other(step: Any, **extra_args: Any) -> Any:
    """A condition: True on the first step, and on every second one after it."""
    return step % 2 == 0


def growing(count: Any) -> Any:
    """1, 2, 3, ... as float32, the way schedules return it."""
    return jnp.asarray(count, jnp.float32) + 1


def every_axis(params: Any) -> Any:
    """Dimension numbers: everything is a matrix of its last axis by all others, a number too."""

    def numbers(p: Any) -> Any:
        return optax.MuonDimensionNumbers(tuple(range(jnp.ndim(p) - 1)), (-1,)[: jnp.ndim(p)])

    return jax.tree.map(numbers, params)


def doubled(tree: Any, params: Any = None) -> Any:
    """A function of whole trees, or of leaves."""
    return over_leaves(lambda x: 2 * x, tree)


def magnitude(x: Any) -> Any:
    """|x|, but for the gradient of an integer."""
    return x if getattr(x, "dtype", None) == jax.dtypes.float0 else abs(x)


# What a required parameter of this name gets.
ARGUMENTS: dict[str, Any] = {
    "accumulation_steps": 2,
    "adv_optimizer": optax.sgd(0.05),
    "aggregator": optax.accumulate_avg_updates(2),
    "base_optimizer": optax.sgd(0.1),
    "clipping": 0.1,
    "decay": 0.9,
    "direction": optax.scale_by_adam(),
    "f": doubled,
    "every_k_schedule": 2,
    "fast_optimizer": optax.adam(0.1),
    "freeze_mask": matrices,
    "inner": optax.trace(0.9),
    "learning_rate": 0.1,
    "magnitude": optax.sgd(0.1),
    "mask": matrices,
    "max_backtracking_steps": 4,
    "max_consecutive_errors": 2,
    "max_delta": 1.0,
    "max_linesearch_steps": 4,
    "max_norm": 1.0,
    "measure": doubled,
    "measure_name": "double",
    "measures": {"norm": optax.tree.norm, "double": doubled, "trace": optax.trace(0.9)},
    "opt": optax.trace(0.9),
    "optimizer": optax.trace(0.9),
    "param_labels": kinds,
    "postprocessor": optax.trace(0.9),
    "preprocessor": optax.clip_by_global_norm(1.0),
    "should_transform_fn": every_other,
    "should_update_fn": every_other,
    "slow_step_size": 0.5,
    "step_size": 0.5,
    "step_size_fn": falling,
    "sync_period": 2,
    "table": [("matrix", optax.trace(0.9)), ("nested/0", None), ("*", optax.scale(0.5))],
    "threshold": 1.0,
    "transforms": {"matrix": optax.trace(0.9), "other": optax.adam(0.1), "unused": optax.trace(0.9)},
    "tx": optax.scale(0.5),
}

# Arguments beyond the required ones, by factory: those that say more than the variants of what it is chained from.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "MultiSteps": [
        {"every_k_schedule": 1, "should_skip_update_fn": optax.skip_not_finite},
        {"should_skip_update_fn": optax.skip_not_finite},
        {"every_k_schedule": growing, "use_grad_mean": False, "accumulator_dtype": "bfloat16"},
    ],
    "adafactor": [
        {"learning_rate": 0.1, "min_dim_size_to_factor": 1, "momentum": 0.9, "weight_decay_rate": 0.1, "eps": 0.0},
        {"multiply_by_parameter_scale": False, "clipping_threshold": None, "decay_offset": 1},
    ],
    "adam": [{"learning_rate": falling, "nesterov": True}, {"learning_rate": None}],
    "adamw": [{"mask": matrices}, {"weight_decay": falling, "nesterov": True, "eps_root": 1e-8}],
    "adaptive_grad_clip": [{"eps": 0.0}, {"axis": ()}],
    "ademamix": [{"b3": 0.99, "alpha": falling, "weight_decay": 0.1, "mask": matrices}],
    "adopt": [{"nesterov": True, "eps": 0.0}, {"use_clipping": False, "eps": 0.1}],
    "apply_every": [{"k": 2}],
    "apply_if_finite": [{"inner": optax.adam(0.1), "max_consecutive_errors": 0, "check_updates": False}],
    "clip": [{"max_delta": 0.0}],
    "clip_by_block_rms": [{"threshold": 0.0}],
    "cocob": [{"learning_rate": falling, "eps": 0.0, "weight_decay": 0.1, "mask": matrices}],
    "dadapt_adamw": [{"learning_rate": falling, "eps": 0.0, "estim_lr0": 1e-3, "weight_decay": 0.1}],
    "dog": [{"init_step": ("learning_rate", 0.01)}, {"learning_rate": falling, "weight_decay": 0.1, "mask": matrices}],
    "dowg": [
        {"init_estim_sq_dist": 0.01, "eps": 0.0},
        {"learning_rate": falling, "weight_decay": 0.1, "mask": matrices},
    ],
    "dynamic_loss_scaling": [{"init_scale": 3.0, "growth_interval": 1}],
    "ema": [{"debias": False}, {"decay": 0.999}],
    "fromage": [{"learning_rate": falling, "min_norm": 0.0}],
    "graft": [{"layerwise": False}],
    "hutchinson_estimator_diag_hessian": [{"random_seed": 3}],
    "lars": [{"weight_decay": 0.1, "weight_decay_mask": matrices, "trust_ratio_mask": matrices, "nesterov": True}],
    "lbfgs": [
        {"learning_rate": 0.1, "memory_size": 1, "scale_init_precond": False, "linesearch": None},
    ],
    "lookahead": [{"reset_state": True}, {"sync_period": 1, "slow_step_size": 0.0}],
    "madgrad": [{"learning_rate": falling, "momentum": 0.0, "weight_decay": 0.1, "eps": 0.0}],
    "masked": [{"unmasked": "zero"}, {"mask": optax.at_paths("nested/*")}, {"mask_compatible_extra_args": True}],
    "master_weights": [{"inner": optax.adam(0.1)}],
    "measure_with_ema": [{"debias": False}, {"decay": 0.999}, {"accumulator_dtype": "float32"}],
    "mechanize": [{"base_optimizer": optax.adam(falling), "eps": 0.0, "s_init": 0.5, "num_betas": 2}],
    "momo": [{"learning_rate": falling, "weight_decay": 0.1, "adapt_lower_bound": True}],
    "momo_adam": [{"learning_rate": falling, "eps": 0.0, "weight_decay": 0.1, "adapt_lower_bound": True}],
    "monitor": [{"measures": {}}, {"measures": {"average": optax.measure_with_ema(optax.tree.norm, 0.9)}}],
    "muon": [
        {"ns_coeffs": "polar_express", "mu_dtype": "bfloat16", "consistent_rms": 0.2, "adam_learning_rate": falling},
        {"preconditioning": "aol", "weight_decay": 0.1, "muon_weight_dimension_numbers": every_axis},
    ],
    "noisy_sgd": [{"learning_rate": falling, "eta": 0.0, "seed": 1}],
    "normalize_by_update_norm": [{"scale_factor": 2.0, "eps": 0.0}],
    "novograd": [{"weight_decay": 0.1, "eps": 0.0}],
    "optimistic_adam": [{"optimism": 0.3, "nesterov": False}],
    "params_ema": [{"debias": False}, {"decay": falling}],
    "params_mean": [{"start": 1, "every": 2}],
    "polyak_sgd": [{"scaling": falling, "f_min": 3.0, "eps": 1e-3, "variant": "sps+"}],
    "prodigy": [
        {"learning_rate": falling, "eps": 0.0, "weight_decay": 0.1, "weight_decay_mask": matrices},
        {"safeguard_warmup": True, "estim_lr0": 0.1, "mu_dtype": "bfloat16", "nu_dtype": "bfloat16"},
    ],
    "reduce_on_plateau": [{"factor": 0.5, "patience": 1, "cooldown": 1}],
    "rmsprop": [{"centered": True, "momentum": 0.9}],
    "rules": [{"before": optax.clip_by_global_norm(1.0)}],
    "sam": [
        {"sync_period": 1},
        {"adv_optimizer": optax.trace(0.5), "sync_period": 3, "reset_state": False},
        {"opaque_mode": True},
    ],
    "scale_by_acprop": [{"b1": 0.0, "eps": 0.0, "eps_root": 0.0}],
    "scale_by_adam": [{"mu_dtype": "bfloat16", "nu_dtype": "bfloat16"}, {"b1": 0.0, "b2": 0.0, "eps": 0.0}],
    "scale_by_adamax": [{"eps": 0.0, "mu_dtype": "bfloat16", "nu_dtype": "bfloat16"}],
    "scale_by_amsgrad": [{"eps": 0.0, "bias_correction_mu": False, "bias_correction_nu": False}],
    "scale_by_backtracking_linesearch": [{"store_grad": True, "rtol": 0.1, "max_learning_rate": 4.0}],
    "scale_by_belief": [{"eps": 0.0, "eps_root": 0.0}],
    "scale_by_distance_over_gradients": [{"eps": 0.0, "param_dtype": None, "global_scale": 0.5}],
    "scale_by_factored_rms": [{"min_dim_size_to_factor": 1, "nu_dtype": "bfloat16"}],
    "scale_by_learning_rate": [{"learning_rate": 0.1, "flip_sign": False}],
    "scale_by_lion": [{"mode": "smooth", "smooth_beta": 2.0}, {"mode": "refined"}],
    "scale_by_muon": [
        {"preconditioning": "spectral", "nesterov": False},
        {"preconditioning": "schatten", "adaptive": True},
    ],
    "scale_by_radam": [{"eps": 0.0, "b2": 0.6}, {"b2": 0.9, "threshold": 4.0, "nesterov": True}],
    "scale_by_rms": [{"eps_in_sqrt": False, "bias_correction": True, "nu_dtype": "bfloat16"}],
    "scale_by_rss": [{"initial_accumulator_value": 0.0, "eps": 0.0}],
    "scale_by_sm3": [{"b2": 0.9, "eps": 0.0}],
    "scale_by_stddev": [{"bias_correction": True, "eps": 0.1, "initial_scale": 1.0}],
    "scale_by_trust_ratio": [{"min_norm": 0.1, "trust_coefficient": 0.01, "eps": 1e-3}],
    "scale_by_yogi": [{"eps": 0.0, "initial_accumulator_value": 0.0}],
    "schedule_free": [
        {"b1": 0.0},
        {"learning_rate": falling, "b1": 1.0, "state_dtype": "bfloat16"},
        {"base_optimizer": optax.sgd(0.0), "learning_rate": 0.0},
    ],
    "schedule_free_adamw": [{"warmup_steps": 2, "weight_decay": 0.1}],
    "schedule_free_sgd": [{"warmup_steps": 2, "weight_decay": 0.1}],
    "sgd": [{"momentum": 0.9, "nesterov": True}],
    "skip_if": [{"window": 2, "min_observations": 1, "sigmas": 0.0, "max_consecutive": 1}],
    "snapshot": [{"measure": optax.tree.norm}],
    "sophia": [{"update_interval": 2, "eps": 0.0, "weight_decay_mask": matrices, "verbose": True}],
    "trace": [{"nesterov": True, "accumulator_dtype": "float32"}],
}

POSITIONAL: dict[str, list[tuple[Any, ...]]] = {
    # With no axis of elements: every update counts as one.
    "add_mean_variance_to_opt": [(optax.adam(0.1), 0.9, ()), (optax.adam(0.1), 0.9, (), 2)],
    "add_noise": [(0.01, 0.55, 0)],
    "average_incrementally_updates": [((), 2), (None, 2)],
    "average_per_element_updates": [((),)],
    "branches": [(optax.tree.add, optax.sgd(0.1), optax.adam(0.1))],
    "chain": [(), (optax.clip_by_global_norm(1.0), optax.adamw(falling)), (optax.chain(), optax.chain(optax.sgd(0.1)))],
    "differentially_private_aggregate": [(1.0, 1.0, 0)],
    "dpsgd": [(0.1, 1.0, 0.5, 0), (falling, 1.0, 0.5, 0, 0.9, True)],
    "galore": [(0.1, 2), (0.1, 1, 2, 0.5, None, 0.1, matrices)],
    "get_per_element_mean_and_sum_sq_diff_grads": [((), 2)],
    "named_chain": [(("second", optax.clip_by_global_norm(1.0)), ("first", optax.adam(0.1)))],
    "scale_by_galore": [(2,), (1, 200, 1.0, optax.trace(0.9))],
    "stochastic_rounding": [(0,)],
}


def some_loss(params: Any, updates: Any) -> dict[str, Any]:
    """A function with the given gradient at the parameters, in the ways that a transformation may ask for it.

    It is f(x) = 2 + <updates, x - params> + |x - params|^2 / 2.
    """

    def wide(x: Any) -> Any:
        return jnp.asarray(x, jnp.result_type(x) if jnp.finfo(jnp.result_type(x)).bits > 16 else jnp.float32)

    def f(x: Any) -> Any:
        terms = []
        for x, p, g in zip(*map(jax.tree.leaves, (x, params, updates)), strict=True):  # noqa: B020
            if jnp.issubdtype(jnp.result_type(p), jnp.inexact):
                d = wide(x) - jax.lax.stop_gradient(wide(p))
                terms.append(jnp.sum((jnp.conj(wide(g).astype(d.dtype) + d / 2) * d).real))
        return 2 + sum(terms[1:], terms[0]) if terms else jnp.float32(2)

    return {"value": f(params), "grad": updates, "value_fn": f}


# What `update` cannot do without beside gradients, state and parameters: `(params, updates)` to keyword arguments.
EXTRA_ARGS: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "hutchinson_estimator_diag_hessian": lambda params, updates: {"obj_fn": some_loss(params, updates)["value_fn"]},
    "lbfgs": some_loss,
    "momo": some_loss,
    "momo_adam": some_loss,
    "polyak_sgd": some_loss,
    "reduce_on_plateau": some_loss,
    "sam": lambda params, updates: {"grad_fn": lambda point, i: doubled(updates)},
    "scale_by_backtracking_linesearch": some_loss,
    "scale_by_polyak": some_loss,
    "scale_by_zoom_linesearch": some_loss,
    "sophia": lambda params, updates: {"obj_fn": some_loss(params, updates)["value_fn"]},
    "track_per_element_mean_and_variance_with_ema": lambda params, updates: {
        "sum_sq_diff_grads": jax.tree.map(magnitude, updates),
        "sample_size": 3,
    },
}


def each_example(tx: GradientTransformation) -> GradientTransformation:
    """`tx`, which takes a gradient for each example, for the mean gradient: of two examples."""

    def examples_of(g: Any) -> Any:
        if getattr(g, "dtype", None) == jax.dtypes.float0:
            return np.zeros((2, *g.shape), g.dtype)
        return jnp.stack([jnp.asarray(g), jnp.asarray(g)])

    return GradientTransformation(
        tx.init, lambda updates, state, params=None: tx.update(jax.tree.map(examples_of, updates), state, params)
    )


def first_of_pair(tx: GradientTransformation) -> GradientTransformation:
    """`tx`, which returns a pair in place of the updates, without the second."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        (updates, _), state = tx.update(updates, state, params)
        return updates, state

    return GradientTransformation(tx.init, update)


def on_matrices(tx: GradientTransformation) -> GradientTransformation:
    """`tx`, which takes nothing but matrices, for those of the parameters that are."""
    return optax.masked(tx, lambda params: jax.tree.map(lambda p: jnp.ndim(p) == 2, params))


def downhill(tx: GradientTransformation) -> GradientTransformation:
    """`tx`, which searches along a direction, along that of steepest descent."""
    return optax.chain(optax.scale(-1.0), tx)


# How to make an ordinary transformation of what is none; the contract is checked on the result.
ADAPTERS: dict[str, Callable[[GradientTransformation], GradientTransformation]] = {
    "differentially_private_aggregate": each_example,
    "dpsgd": each_example,
    "get_per_element_mean_and_sum_sq_diff_grads": first_of_pair,
    "scale_by_backtracking_linesearch": downhill,
    "scale_by_muon": on_matrices,
    "scale_by_zoom_linesearch": downhill,
}

HOMES = (optax.core, optax.transforms, optax.wrappers, optax.optimizers, optax.linesearch)
FACTORIES: dict[str, Callable[..., GradientTransformation]] = {
    **{name: factory for home in HOMES for name, factory in factories(home).items()},
    "MultiSteps": optax.MultiSteps,  # a class
}

# Stages of an optimizer that is called with the same arguments: what the optimizer keeps, they keep.
STAGES = {name for name in FACTORIES if name.startswith("scale_by_") and name.removeprefix("scale_by_") in FACTORIES}


def calls(name: str) -> Iterator[GradientTransformation]:
    """The transformations of one factory that the contract is checked on; the first is the plainest.

    With CONTRACT=plain in the environment it is the only one.
    """
    factory = FACTORIES[name]
    number = 1 if os.environ.get("CONTRACT") == "plain" else None
    if name in POSITIONAL:
        yield from (factory(*args) for args in POSITIONAL[name][:number])
        return
    base = examples(factory, ARGUMENTS, "tests/contract/calls.py")
    yield from (factory(**base | variant) for variant in [{}, *VARIANTS.get(name, ())][:number])


def all_calls() -> Iterator[tuple[str, GradientTransformation]]:
    """Those of every factory that can be called, each with its factory's name."""
    for name in sorted(FACTORIES):
        with contextlib.suppress(Exception):  # what is wrong says a test of its own, and keeps no other from running
            yield from [(name, tx) for tx in calls(name)]


def plain_calls() -> dict[str, GradientTransformation]:
    """The first call of each factory, by the factory's name."""
    return dict(reversed(list(all_calls())))


def subject(name: str, tx: GradientTransformation, **fields: Any) -> Subject:
    """What the contract is checked on for a transformation of the factory of this name."""
    if name in EXTRA_ARGS:
        fields["extra_args"] = EXTRA_ARGS[name]
    return Subject(ADAPTERS.get(name, lambda tx: tx)(tx), **fields)
