"""Programs that the original and this library run alike: expressions, and functions of the module `optax`.

Only NumPy is imported at the top: a process that has nothing but the original reads this file too.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from compat.states import Described, described

# Why what an expression gives differs from the original, or None.
WIDE = "norms and sums are computed and returned in float32"
EXPRESSIONS: Mapping[str, str | None] = {
    # optax.tree
    "optax.tree.add(x, y)": None,
    "optax.tree.add(x, y, x, y)": None,
    "optax.tree.add_scale(x, 0.3, y)": None,
    "optax.tree.allclose(x, y), optax.tree.allclose(x, optax.tree.add(x, tiny)), optax.tree.allclose(x, x, 0, 0)": None,
    "optax.tree.batch_shape(x, (2, 3))": None,
    "optax.tree.bias_correction(x, 0.9, 3)": None,
    "optax.tree.bias_correction(x, 0.999, jnp.int32(1))": None,
    "optax.tree.cast(x, 'bfloat16'), optax.tree.cast(x, None)": None,
    "optax.tree.cast_like(x, half)": None,
    "optax.tree.clip(x, -0.1, 0.2), optax.tree.clip(x, min_value=0.0), optax.tree.clip(x, max_value=0.1)": None,
    "optax.tree.conj(z), optax.tree.real(z)": None,
    "optax.tree.div(x, y), optax.tree.mul(x, y), optax.tree.sub(x, y)": None,
    "str(optax.tree.dtype(x)), str(optax.tree.dtype(mixed, 'promote')), str(optax.tree.dtype(mixed, 'lowest'))": None,
    "str(optax.tree.dtype(mixed, 'highest'))": None,
    "optax.tree.full_like(x, 0.5), optax.tree.full_like(x, 2, 'int32')": None,
    "optax.tree.get(state, 'count'), optax.tree.get(state, 'mu'), optax.tree.get(state, 'nothing', 3)": None,
    "optax.tree.get(state, 'ScaleByAdamState')": None,
    "optax.tree.get(twice, 'count')": None,  # the message is another one
    "optax.tree.get(twice, 'count', filtering=lambda path, value: path[0].idx == 1)": None,
    "[(str(path), value) for path, value in optax.tree.get_all_with_path(twice, 'count')]": None,
    "optax.tree.map_params(adam, lambda v: v + 1, state)": None,
    "optax.tree.map_params(adam.init, lambda v, w: v + w, state, x, transform_non_params=lambda v: v + 5)": None,
    "optax.tree.max(x), optax.tree.min(x)": None,
    "optax.tree.norm(x), optax.tree.norm(x, squared=True)": None,
    "optax.tree.norm(x, 1), optax.tree.norm(x, 'inf'), optax.tree.norm(x, jnp.inf), optax.tree.norm(z)": None,
    "optax.tree.norm(half)": WIDE,
    "optax.tree.ones_like(x), optax.tree.ones_like(x, 'float16')": None,
    "optax.tree.random_like(key, x)": None,
    "optax.tree.random_like(key, x, jax.random.uniform), optax.tree.random_like(key, x, dtype='float16')": None,
    "optax.tree.scale(0.3, x)": None,
    "optax.tree.set(state, count=jnp.int32(7))": None,
    "optax.tree.size(x), optax.tree.size(())": None,
    "jax.tree.map(jax.random.key_data, optax.tree.split_key_like(key, x))": None,
    "optax.tree.sum(x), optax.tree.sum(x, associative_reduction=True), optax.tree.sum(z)": None,
    "optax.tree.unwrap_random_key_data({'key': key, 'x': x})": None,
    "optax.tree.update_infinity_moment(x, y, 0.9, 1e-8)": None,
    "optax.tree.update_moment(x, y, 0.9, 1), optax.tree.update_moment(x, y, 0.9, 2)": None,
    "optax.tree.update_moment_per_elem_norm(x, y, 0.9, 2), optax.tree.update_moment_per_elem_norm(z, x, 0.9, 2)": None,
    "optax.tree.update_moment_per_elem_norm(x, y, 0.9, 3)": None,
    "optax.tree.vdot(x, y), optax.tree.vdot(z, z)": None,
    "optax.tree.where(True, x, y), optax.tree.where(jnp.array(False), x, y)": None,
    "optax.tree.zeros_like(x), optax.tree.zeros_like(x, 'int32')": None,
    "optax.tree_utils.tree_l2_norm(x), optax.tree_utils.tree_add_scalar_mul(x, 0.3, y)": None,
    # updates and numerics
    "optax.apply_updates(x, y), optax.apply_updates(half, x)": None,
    "optax.incremental_update(x, y, 0.1)": None,
    "optax.periodic_update(x, y, jnp.int32(6), 3), optax.periodic_update(x, y, jnp.int32(7), 3)": None,
    "optax.global_norm(x), optax.global_norm({})": None,
    "optax.safe_norm(v, 0.1), optax.safe_norm(0 * v, 0.1), optax.safe_norm(m, 0.1, axis=1, keepdims=True)": None,
    "optax.safe_norm(m, 0.1, 1, 0), jax.grad(optax.safe_norm)(0 * v, 0.1)": None,
    "optax.safe_root_mean_squares(v, 0.1), optax.safe_root_mean_squares(0 * v, 0.1)": None,
    "optax.safe_increment(jnp.int32(2**31 - 1)), optax.safe_increment(jnp.int32(5))": None,
    "optax.safe_increment(jnp.uint8(255)), optax.safe_increment(jnp.float32(5))": None,
    "optax.scale_gradient(x, 0.5), jax.grad(lambda v: jnp.sum(optax.scale_gradient(v, 0.5) ** 2))(v)": None,
    "optax.transforms.unitwise_norm(m), optax.transforms.unitwise_norm(v), optax.transforms.unitwise_norm(v[0])": None,
    "optax.transforms.unitwise_clip(5 + 0 * v, 1 + 0 * v, v)": None,
    "optax.per_example_global_norm_clip([m, m[:, 0]], 1.0)": None,
    "optax.per_example_layer_norm_clip([m, m[:, 0]], 1.0, True)": None,
    "optax.per_example_layer_norm_clip([m, m[:, 0]], 1.0, False)": None,
    "optax.skip_not_finite(x, jnp.int32(0), x)": None,
    "optax.skip_large_updates(x, jnp.int32(0), x, 0.5), optax.skip_large_updates(x, jnp.int32(0), x, 50.0)": None,
    "optax.init_empty_state(x), optax.identity().init(x), optax.MaskedNode()": None,
    # linear algebra
    "abs(optax.power_iteration(m)[1])": None,
    "optax.power_iteration(m, v0=v[:3], num_iters=5)": "the vector that has the value, not the next one",
    "optax.matrix_inverse_pth_root(m, 2, ridge_epsilon=0.0)[0]": None,
    "optax.matrix_inverse_pth_root(m, 4)[0]": None,
    "optax.nnls(m, jnp.array([1.0, -1.0, 2.0]), 200)": None,
    # projections, with `s` for the scale
    "optax.projections.projection_non_negative(x), optax.projections.projection_box(v, -0.1, 0.2)": None,
    "optax.projections.projection_hypercube(v), optax.projections.projection_hypercube(v, 0.3)": None,
    "optax.projections.projection_simplex(x), optax.projections.projection_simplex(v, 0.3)": None,
    "optax.projections.projection_l1_ball(x, 0.3), optax.projections.projection_l1_ball(x, 30.0)": None,
    "optax.projections.projection_l1_sphere(x, 0.3), optax.projections.projection_l1_sphere(x, 30.0)": None,
    "optax.projections.projection_l2_ball(x, 0.3), optax.projections.projection_l2_ball(x, 30.0)": None,
    "optax.projections.projection_l2_sphere(x, 0.3), optax.projections.projection_l2_sphere(x)": None,
    "optax.projections.projection_linf_ball(x, 0.3), optax.projections.projection_linf_ball(x)": None,
    "optax.projections.projection_hyperplane(x, y, 0.3), optax.projections.projection_halfspace(x, y, 0.3)": None,
    "optax.projections.projection_halfspace(x, y, 30.0), optax.projections.projection_vector(x, y)": None,
    "optax.assignment.hungarian_algorithm(m)": "the same pairs, with the rows in ascending order",
    "pairs(optax.assignment.hungarian_algorithm(m)), pairs(optax.assignment.base_hungarian_algorithm(m))": None,
    "pairs(optax.assignment.hungarian_algorithm(w)), optax.assignment.hungarian_algorithm(w.T)": None,
    # derivatives
    "optax.second_order.hvp(loss, jnp.ones(7), x, inputs, targets)": None,
    "optax.second_order.hessian_diag(loss, x, inputs, targets)": None,
    "optax.second_order.fisher_diag(loss, x, inputs, targets)": "the mean of the squares, not the square of the mean",
    "optax.perturbations.make_perturbed_fun(argmax, 50, 0.5)(key, v)": None,
    "optax.perturbations.make_perturbed_fun(argmax, 50, 0.5, optax.perturbations.Normal())(key, v)": None,
    "optax.perturbations.Gumbel().sample(key, (3,)), optax.perturbations.Normal().sample(key, (3,))": None,
    "optax.perturbations.Gumbel().log_prob(v)": None,
    "optax.perturbations.Normal().log_prob(v)": "the density, with its constant",
    "jax.jacobian(lambda v: optax.perturbations.make_perturbed_fun(argmax, 50, 0.5)(key, v))(v)": None,
    # microbatching
    "optax.microbatching.microbatch(lambda a: a.sum(0), 0, 2)(batch)": None,
    "optax.microbatching.microbatch(lambda a: a.mean(0), 0, 2, optax.microbatching.AccumulationType.MEAN)(batch)": None,
    "optax.microbatching.microbatch(lambda a: 2 * a, 0, 2, optax.microbatching.AccumulationType.CONCAT)(batch)": None,
    "optax.microbatching.micro_vmap(lambda a: 2 * a, microbatch_size=2)(batch)": None,
    "optax.microbatching.micro_grad(lambda p, a: jnp.sum(jnp.tanh(a @ p)), microbatch_size=2)(batch[0], batch)": None,
    "optax.microbatching.reshape_batch_axis(batch, 2)": None,
}


@functools.cache
def names(optax: Any) -> dict[str, Any]:
    """What the expressions name."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(1)

    def array(*shape: int) -> Any:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    x, y = {"a": array(4), "b": array(3)}, {"a": array(4), "b": array(3)}
    adam = optax.adam(0.1)
    w = array(3, 5)
    return {
        "adam": adam,
        "argmax": lambda v: (v == jnp.max(v)).astype(v.dtype),
        "batch": array(6, 2),
        "half": jax.tree.map(lambda v: v.astype("bfloat16"), x),
        "inputs": array(6, 4),
        "jax": jax,
        "jnp": jnp,
        "key": jax.random.key(3),
        "loss": lambda p, inputs, targets: jnp.mean((jnp.tanh(inputs @ p["a"]) * jnp.sum(p["b"] ** 3) - targets) ** 2),
        "m": w @ w.T + jnp.eye(3),
        "mixed": {"a": jnp.zeros(2, "bfloat16"), "b": jnp.zeros(2, "float32")},
        "optax": optax,
        "pairs": lambda rows_and_columns: sorted(map(tuple, zip(*map(np.asarray, rows_and_columns), strict=True))),
        "state": adam.update(x, adam.init(x), x)[1],
        "targets": array(6),
        "tiny": jax.tree.map(lambda v: 1e-9 * v, x),
        "twice": optax.chain(adam, adam).init(x),
        "v": array(5),
        "w": w,
        "x": x,
        "y": y,
        "z": {"a": jax.lax.complex(array(4), array(4)), "b": jax.lax.complex(array(3), array(3))},
    }


PROGRAMS: dict[str, Callable[[Any], Any]] = {}


def program(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Adds a function of the module `optax` to those that are compared."""
    PROGRAMS[function.__name__] = function
    return function


def trained(
    optax: Any, tx: Any, steps: int = 6, spoil: int | None = None, between: Callable[[Any], None] | None = None
) -> Any:
    """Parameters and state after every step on a quadratic function; one gradient may be infinite."""
    import jax
    import jax.numpy as jnp

    x = {"a": jnp.asarray([1.0, -2.0, 3.0], jnp.float32), "b": jnp.asarray(0.5, jnp.float32)}

    def f(x: Any) -> Any:
        return jnp.sum(x["a"] ** 2) / 2 + 2 * (x["b"] - 1) ** 2 + jnp.sum(x["a"] * x["b"])

    state = tx.init(x)
    update, value_and_grad = jax.jit(tx.update), jax.jit(jax.value_and_grad(f))
    seen = []
    for t in range(steps):
        value, g = value_and_grad(x)
        g = jax.tree.map(lambda v: v / 0, g) if t == spoil else g
        given = {"value": value} if isinstance(tx, optax.GradientTransformationExtraArgs) else {}
        updates, state = update(g, state, x, **given)
        x = optax.apply_updates(x, updates)
        if between:
            between(state)
        seen.append(x)
    return seen, state


@program
def apply_if_finite(optax: Any) -> Any:
    return trained(optax, optax.apply_if_finite(optax.adam(0.1), 3), spoil=2)


@program
def conditionally(optax: Any) -> Any:
    def third(step: Any, **_: Any) -> Any:
        return step % 3 == 0

    mask, transform = optax.conditionally_mask, optax.conditionally_transform
    return [trained(optax, wrap(optax.adam(0.1), third)) for wrap in (mask, transform)]


@program
def freezing(optax: Any) -> Any:
    mask = {"a": True, "b": False}
    first = optax.chain(optax.adam(0.1), optax.freeze(mask))
    return trained(optax, first), trained(optax, optax.selective_transform(optax.adam(0.1), freeze_mask=mask))


@program
def hyperparams_by_assignment(optax: Any) -> Any:
    tx = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1, momentum=0.5)

    def halve(state: Any) -> None:
        state.hyperparams["learning_rate"] = state.hyperparams["learning_rate"] / 2

    return trained(optax, tx, between=halve)


@program
def hyperparams_by_deletion(optax: Any) -> Any:
    tx = optax.inject_hyperparams(optax.adam)(learning_rate=0.1, b1=0.9)  # 0.9 is the default of b1 too

    def delete(state: Any) -> None:
        state.hyperparams.pop("b1", None)

    return trained(optax, tx, between=delete)[0]


@program
def hyperparams_by_schedule(optax: Any) -> Any:
    schedule = optax.join_schedules([optax.linear_schedule(0.0, 0.1, 2), optax.cosine_decay_schedule(0.1, 4)], [2])
    tx = optax.inject_hyperparams(optax.adamw)(learning_rate=schedule, weight_decay=0.1)
    return trained(optax, tx, between=lambda state: state.hyperparams["learning_rate"])


@program
def lookahead(optax: Any) -> Any:
    import jax
    import jax.numpy as jnp

    tx = optax.lookahead(optax.sgd(0.1, 0.9), 2, 0.5, reset_state=True)
    x = optax.LookaheadParams.init_synced({"a": jnp.asarray([1.0, -2.0, 3.0], jnp.float32)})
    state = tx.init(x)
    seen = []
    for _ in range(5):
        updates, state = tx.update(jax.grad(lambda fast: jnp.sum(fast["a"] ** 2))(x.fast), state, x)
        x = optax.apply_updates(x, updates)
        seen.append(tuple(x))
    return seen


@program
def masked(optax: Any) -> Any:
    decayed = optax.chain(optax.masked(optax.add_decayed_weights(0.1), {"a": True, "b": False}), optax.sgd(0.1))
    return trained(optax, decayed), trained(optax, optax.masked(optax.adam(0.1), lambda x: {"a": False, "b": True}))


@program
def multi_steps(optax: Any) -> Any:
    tx = optax.MultiSteps(optax.adam(0.1), 2)
    steps = optax.MultiSteps(optax.adam(0.1), lambda step: step + 1, use_grad_mean=False)
    skipping = optax.MultiSteps(optax.sgd(0.1), 2, should_skip_update_fn=optax.skip_not_finite)
    updated: list[Any] = []
    found = [
        trained(optax, tx, between=lambda state: updated.append(tx.has_updated(state)))[0],
        trained(optax, steps.gradient_transformation())[0],
        trained(optax, skipping, spoil=3)[0],
    ]
    return found, updated


@program
def partitions(optax: Any) -> Any:
    transforms = {"fast": optax.adam(0.1), "slow": optax.sgd(0.01, 0.9), "unused": optax.adagrad(0.1)}
    made = [wrap(transforms, {"a": "fast", "b": "slow"}) for wrap in (optax.partition, optax.multi_transform)]
    return [trained(optax, tx) for tx in made]


@program
def reduced_on_plateau(optax: Any) -> Any:
    tx = optax.chain(optax.sgd(0.5), optax.contrib.reduce_on_plateau(0.5, patience=1, cooldown=1, accumulation_size=2))
    return trained(optax, tx, 12)


@program
def schedule_free(optax: Any) -> Any:
    x, state = trained(optax, optax.contrib.schedule_free(optax.sgd(0.1), 0.1, b1=0.9))
    return x, optax.contrib.schedule_free_eval_params(state, x[-1])


@program
def schedules(optax: Any) -> Any:
    import jax.numpy as jnp

    joined = optax.join_schedules([optax.constant_schedule(0.1), optax.exponential_decay(0.1, 3, 0.5)], [4])
    sgdr = optax.sgdr_schedule([{"init_value": 0.0, "peak_value": 0.2, "decay_steps": 8, "warmup_steps": 2}] * 2)
    return [[jnp.float32(s(t)) for t in range(12)] for s in (joined, sgdr)]


@program
def states_by_hand(optax: Any) -> Any:
    import jax.numpy as jnp

    adam = optax.ScaleByAdamState(count=jnp.int32(3), mu={"a": jnp.ones(2)}, nu={"a": jnp.ones(2)})
    tx = optax.scale_by_adam()
    return tx.update({"a": jnp.ones(2)}, adam), optax.ScaleByScheduleState(count=jnp.int32(1))._replace(
        count=jnp.int32(2)
    )


@program
def value_and_grad_from_state(optax: Any) -> Any:
    import jax.numpy as jnp

    def f(x: Any) -> Any:
        return jnp.sum((x - jnp.arange(3.0)) ** 4 + x**2)

    tx = optax.lbfgs()
    x = jnp.ones(3)
    state = tx.init(x)
    value_and_grad = optax.value_and_grad_from_state(f)
    seen = []
    for _ in range(5):
        value, g = value_and_grad(x, state=state)
        updates, state = tx.update(g, state, x, value=value, grad=g, value_fn=f)
        x = optax.apply_updates(x, updates)
        seen.append((value, g, x))
    return seen


def result(call: str, optax: Any) -> Described:
    """What an expression or a program of this name gives."""
    return described(PROGRAMS[call](optax) if call in PROGRAMS else eval(call, names(optax)))


def record() -> dict[str, Described | str]:
    """The result of everything here, or the message of the error that it raised, of the installed optax."""
    import warnings

    import optax

    found: dict[str, Described | str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecation
        for call in [*EXPRESSIONS, *PROGRAMS]:
            try:
                found[call] = result(call, optax)
            except Exception as problem:
                found[call] = repr(problem)
    return found
