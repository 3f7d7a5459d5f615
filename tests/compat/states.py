"""States of optimizers, described without their classes: what of them is in `record.py`, and what is compared with it.

Only NumPy is imported at the top: a process that has nothing but the original reads this file too.
"""

import contextlib
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

Row: TypeAlias = "str | np.ndarray"
Described: TypeAlias = dict[str, Row]
"""By key path, in the order of the leaves: the name of the class of a node, or the array that a leaf is."""

BOUND = 2e-5  # the original rounds 1 - 0.999^t to this

# Expressions for required parameters: what one of this name gets, in whatever factory.
ARGUMENTS: Mapping[str, str] = {
    "adv_optimizer": "optax.sgd(0.05)",
    "aggregator": "aggregating.accumulate_avg_updates(2)",
    "base_optimizer": "optax.sgd(0.1)",
    "clipping": "0.1",
    "decay": "0.9",
    "eta": "0.01",
    "every_k_schedule": "2",
    "f": "doubled",
    "fast_optimizer": "optax.adam(0.1)",
    "freeze_mask": "mask",
    "gamma": "0.5",
    "inner": "optax.adam(0.1)",
    "l2_norm_clip": "1.0",
    "learning_rate": "0.1",
    "mask": "mask",
    "max_backtracking_steps": "4",
    "max_consecutive_errors": "2",
    "max_delta": "1.0",
    "max_linesearch_steps": "4",
    "max_norm": "1.0",
    "measure": "norm",
    "measure_name": "'norm'",
    "measures": "{'norm': norm}",
    "noise_multiplier": "1.0",
    "opt": "optax.adam(0.1)",
    "optimizer": "optax.adam(0.1)",
    "param_labels": "labels",
    "postprocessor": "optax.trace(0.9)",
    "preprocessor": "optax.clip_by_global_norm(1.0)",
    "should_transform_fn": "every_other",
    "slow_step_size": "0.5",
    "step_size": "0.5",
    "step_size_fn": "falling",
    "sync_period": "2",
    "threshold": "1.0",
    "transforms": "{'a': optax.adam(0.1), 'b': optax.sgd(0.1, 0.9)}",
}

# Calls of factories that ARGUMENTS cannot make, or that need more around them.
PLAIN: Mapping[str, str] = {
    "add_mean_variance_to_opt": "aggregating.add_mean_variance_to_opt(optax.adam(0.1), 0.9, (), 2)",
    "add_noise": "optax.add_noise(0.01, 0.55, 0)",
    "average_incrementally_updates": "aggregating.average_incrementally_updates((), 2)",
    "average_per_element_updates": "aggregating.average_per_element_updates(())",
    "chain": "optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(falling))",
    "differentially_private_aggregate": "optax.contrib.differentially_private_aggregate(1.0, 0.0, 0)",
    "dpsgd": "optax.contrib.dpsgd(0.1, 1.0, 0.0, 0, momentum=0.9)",
    "get_per_element_mean_and_sum_sq_diff_grads": "aggregating.get_per_element_mean_and_sum_sq_diff_grads((), 2)",
    "inject_hyperparams": "optax.inject_hyperparams(optax.adam)(learning_rate=0.1)",
    "inject_stateful_hyperparams": "optax.inject_stateful_hyperparams(optax.adam)(learning_rate=falling)",
    "lookahead": "of_fast_and_slow(optax.lookahead(optax.adam(0.1), 2, 0.5))",
    "named_chain": "optax.named_chain(('second', optax.clip(1.0)), ('first', optax.adam(0.1)))",
    "scale_by_backtracking_linesearch": "optax.chain(optax.scale(-1.0), optax.scale_by_backtracking_linesearch(4))",
    "scale_by_muon": "optax.contrib.muon(0.1, adaptive=True)",
    "scale_by_zoom_linesearch": "optax.chain(optax.scale(-1.0), optax.scale_by_zoom_linesearch(4))",
}

VARIANTS = (
    "optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(1e-4), optax.scale_by_learning_rate(falling))",
    "optax.chain(optax.sgd(0.1))",
    "optax.MultiSteps(optax.adamw(0.1), 2, use_grad_mean=False)",
    "optax.MultiSteps(optax.adam(0.1), 2, should_skip_update_fn=optax.skip_not_finite)",
    "optax.adafactor(0.1, min_dim_size_to_factor=2)",
    "optax.adafactor(0.1, min_dim_size_to_factor=2, momentum=0.9, weight_decay_rate=0.1)",
    "optax.adafactor(0.1, multiply_by_parameter_scale=False, clipping_threshold=None)",
    "optax.adagrad(falling)",
    "optax.adam(falling)",
    "optax.adam(0.1, mu_dtype='bfloat16', nesterov=True)",
    "optax.adamw(0.1, mask=mask)",
    "optax.apply_if_finite(optax.lion(0.1), 3)",
    "optax.contrib.ademamix(0.1, weight_decay=0.1, mask=mask)",
    "optax.contrib.dog(falling, weight_decay=0.1)",
    "optax.contrib.dowg(weight_decay=0.1, mask=mask)",
    "optax.contrib.galore(0.1, 2)",
    "optax.contrib.galore(0.1, 2, base_optimizer=optax.trace(0.9))",
    "optax.contrib.mechanize(optax.adam(falling), s_init=0.1)",
    "optax.contrib.muon(0.1, mu_dtype='bfloat16', weight_decay=0.1)",
    "optax.contrib.prodigy(weight_decay=0.1)",
    "optax.contrib.sam(optax.sgd(0.1, 0.9), optax.contrib.normalize(), sync_period=3)",
    "optax.contrib.sam(optax.sgd(0.1, 0.9), optax.sgd(0.1), opaque_mode=True)",
    "optax.contrib.schedule_free(optax.adam(0.1, b1=0.0), falling)",
    "optax.contrib.schedule_free_adamw(warmup_steps=2, weight_decay=0.1)",
    "optax.contrib.sophia(falling, weight_decay=0.1)",
    "optax.inject_hyperparams(optax.adamw)(learning_rate=falling, weight_decay=0.1, mask=mask)",
    "optax.inject_hyperparams(optax.sgd)(learning_rate=0.1, momentum=0.9)",
    "optax.lamb(falling, weight_decay=0.1)",
    "optax.lars(0.1, weight_decay=0.1, weight_decay_mask=mask, trust_ratio_mask=mask)",
    "optax.lbfgs(0.1, memory_size=3, linesearch=None)",
    "optax.lbfgs(linesearch=optax.scale_by_backtracking_linesearch(5, store_grad=True))",
    "optax.lion(falling, mu_dtype='bfloat16')",
    "optax.masked(optax.adam(0.1), mask_of_dict)",
    "optax.monitor({'average': optax.measure_with_ema(norm, 0.9)})",
    "optax.multi_transform({'a': optax.adam(falling), 'b': optax.set_to_zero()}, labels)",
    "optax.noisy_sgd(falling)",
    "optax.novograd(0.1, weight_decay=0.1)",
    "optax.polyak_sgd(scaling=falling)",
    "optax.rmsprop(0.1, centered=True, momentum=0.9)",
    "optax.rmsprop(0.1, momentum=0.9, nesterov=True, bias_correction=True)",
    "optax.chain(optax.scale(-1.0), optax.scale_by_backtracking_linesearch(5, store_grad=True))",
    "optax.chain(optax.scale(-1.0), optax.scale_by_zoom_linesearch(5))",
    "optax.scale_by_rms(bias_correction=True)",
    "optax.sgd(0.1, 0.9, nesterov=True, accumulator_dtype='bfloat16')",
    "optax.sgd(falling, 0.9)",
    "optax.trace(0.9, accumulator_dtype='bfloat16')",
)


def modules() -> dict[str, Any]:
    """The modules of the installed optax that have factories, by what they are called in a call."""
    import optax.experimental

    spellings = ("optax", "optax.transforms", "optax.contrib", "optax.schedules")
    found = {spelling: eval(spelling, {"optax": optax}) for spelling in spellings}
    return found | {"aggregating": optax.experimental.aggregating}


def calls() -> dict[str, str]:
    """Every call that is compared, with the name of its factory if it is the plain one, of the installed optax.

    What is no factory is among them too, as long as it can be called with these arguments.
    """
    found = {}
    for spelling, module in modules().items():
        for name in dir(module):
            function = getattr(module, name)
            if name.startswith("_") or not callable(function) or name in found:
                continue
            if name in PLAIN:
                found[name] = PLAIN[name]
                continue
            with contextlib.suppress(ValueError):  # a class without a signature
                parameters = inspect.signature(function).parameters.values()
                variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
                required = [p.name for p in parameters if p.default is p.empty and p.kind not in variadic]
                if {*required} <= ARGUMENTS.keys():
                    given = (f"{parameter}={ARGUMENTS[parameter]}" for parameter in required)
                    found[name] = f"{spelling}.{name}({', '.join(given)})"
    return {call: name for name, call in found.items()} | dict.fromkeys(VARIANTS, "")


def transformation(call: str, optax: Any) -> Any:
    """The transformation of a call, of either library; None if what comes out is none."""
    import jax
    import jax.numpy as jnp

    def mask(params: Any) -> Any:
        return jax.tree.map(lambda p: jnp.ndim(p) >= 2, params)

    def of_fast_and_slow(tx: Any) -> Any:
        def update(g: Any, state: Any, x: Any = None) -> Any:
            updates, state = tx.update(g, state, optax.LookaheadParams(x, jax.tree.map(lambda x: x / 2, x)))
            return updates.fast, state

        return optax.GradientTransformation(lambda x: tx.init(optax.LookaheadParams.init_synced(x)), update)

    names = {
        "aggregating": importlib.import_module("optax.experimental").aggregating,
        "doubled": lambda x, *_: jax.tree.map(lambda x: 2 * x, x),
        "every_other": lambda step, **_: step % 2 == 0,
        "falling": optax.linear_schedule(0.1, 0.0, 10),
        "labels": lambda params: jax.tree.map(lambda p: "a" if jnp.ndim(p) >= 2 else "b", params),
        "mask": mask,
        "mask_of_dict": {"w": False, "b": True},
        "norm": lambda tree: optax.tree.norm(tree),
        "of_fast_and_slow": of_fast_and_slow,
        "optax": optax,
    }
    made = eval(call, names)
    return made if hasattr(made, "init") and hasattr(made, "update") else None


def params() -> Any:
    """The parameters: small integers over 8, of which sums are exact."""
    import jax.numpy as jnp

    w = np.arange(12, dtype=np.float32).reshape(3, 4) % 7 - 3
    return {"b": jnp.asarray([0.5, -1.0, 0.25, 2.0], jnp.float32), "w": jnp.asarray(w / 8)}


def loss(x: Any) -> Any:
    """Its gradients are those of every update."""
    import jax.numpy as jnp

    w, b = x["w"], x["b"]
    rows = jnp.asarray([[1.0], [-2.0], [0.5]], jnp.float32)
    return jnp.sum((w * w).T @ jnp.abs(rows)) / 2 + jnp.sum(b * b) + jnp.sum(w.T @ rows) + b[0] - b[1]


# What `update` cannot do without beside gradients, state and parameters; only those who need it take it everywhere.
EXTRA_ARGS: Mapping[str, Callable[[Any, Any], dict[str, Any]]] = {
    "hutchinson": lambda x, g: {"obj_fn": loss},
    "optax.lbfgs": lambda x, g: {"value": loss(x), "grad": g, "value_fn": loss},
    "linesearch": lambda x, g: {"value": loss(x), "grad": g, "value_fn": loss},
    "momo": lambda x, g: {"value": loss(x)},
    "opaque_mode": lambda x, g: {"grad_fn": lambda x, i: _gradient(x)},
    "plateau": lambda x, g: {"value": loss(x)},
    "polyak": lambda x, g: {"value": loss(x)},
    "sophia": lambda x, g: {"obj_fn": loss},
    "track_per_element": lambda x, g: {"sum_sq_diff_grads": _squares(g), "sample_size": np.int32(3)},
}
PER_EXAMPLE = ("differentially_private", "dpsgd")
PAIRS = ("get_per_element_mean",)


def _gradient(x: Any) -> Any:
    import jax

    return jax.grad(loss)(x)


def _squares(g: Any) -> Any:
    import jax

    return jax.tree.map(lambda x: x * x, g)


@functools.cache
def steps(call: str, optax: Any) -> tuple[Any, Callable[[Any, Any], tuple[Any, Any, Any]]]:
    """The first state of a call, and its step: from parameters and a state to both of them and the updates."""
    import jax
    import jax.numpy as jnp

    tx = transformation(call, optax)
    extra = next((make for part, make in EXTRA_ARGS.items() if part in call), lambda x, g: {})

    @jax.jit
    def step(x: Any, state: Any) -> Any:
        g = _gradient(x)
        given = jax.tree.map(lambda g: jnp.stack([g, 2 * g]), g) if any(part in call for part in PER_EXAMPLE) else g
        updates, state = tx.update(given, state, x, **extra(x, g))
        if any(part in call for part in PAIRS):
            updates, _ = updates
        if jax.tree.structure(updates) == jax.tree.structure(x):  # not the measurements of `measure_with_ema`
            x = optax.apply_updates(x, updates)
        return x, state, updates

    return tx.init(params()), step


def described(state: Any) -> Described:
    """A tree as plain data, for it is to be read where its classes do not exist."""
    import jax
    from jax.tree_util import keystr, tree_flatten_with_path

    rows: Described = {}

    def add(path: tuple[Any, ...], node: Any) -> None:
        pairs, _ = tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
        if len(pairs) == 1 and not pairs[0][0]:
            if isinstance(node, jax.Array) and jax.dtypes.issubdtype(node.dtype, jax.dtypes.prng_key):
                rows[keystr(path)] = "key"
            else:
                rows[keystr(path)] = np.asarray(node)
            return
        rows[keystr(path)] = type(node).__name__
        for key, child in pairs:
            add((*path, *key), child)

    add((), state)
    return rows


def compared(found: Described, expected: Described, bound: float = BOUND, floor: float = 0.0) -> Iterator[str]:
    """The paths at which two trees differ, and "order" if leaves of both have another order."""
    for path in {**expected, **found}:
        ours, theirs = found.get(path), expected.get(path)
        if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray):
            if ours.shape != theirs.shape or ours.dtype != theirs.dtype or not close(ours, theirs, bound, floor):
                yield path
        elif not isinstance(ours, str) or not isinstance(theirs, str) or ours != theirs:
            yield path
    if [path for path in found if path in expected] != [path for path in expected if path in found]:
        yield "order"


def close(ours: Any, theirs: Any, bound: float, floor: float) -> bool:
    """Whether two arrays agree to a bound in units of the largest element, or to an absolute one."""
    if ours.dtype.kind == "U":
        return np.array_equal(ours, theirs)
    a, b = ours.astype(np.complex128), theirs.astype(np.complex128)
    size = np.max(np.abs(b[np.isfinite(b)]), initial=0)
    return np.allclose(a, b, 0, max(floor, (bound if ours.dtype.itemsize > 2 else 1e-2) * size), equal_nan=True)


def history(call: str, optax: Any) -> dict[str, Described]:
    """The state of a call before the first update and after two, the parameters then, and the third updates."""
    first, step = steps(call, optax)
    x, state = params(), first
    for _ in range(2):
        x, state, _ = step(x, state)
    found = {"before": first, "after": state, "params": x, "updates": step(x, state)[2]}
    return {key: described(tree) for key, tree in found.items()}


def record() -> dict[str, dict[str, Described] | str]:
    """The history of every call, or the message of the error that it raised, of the installed optax."""
    import optax

    found: dict[str, dict[str, Described] | str] = {}
    for call in calls():
        with contextlib.suppress(TypeError):  # a type that cannot be called
            if transformation(call, optax) is not None:
                try:
                    found[call] = history(call, optax)
                except Exception as problem:
                    found[call] = repr(problem)
    return found
