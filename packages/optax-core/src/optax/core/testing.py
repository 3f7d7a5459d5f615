"""Does a gradient transformation keep the contract? For authors, in words.

    from optax.core.testing import check_transformation
    check_transformation(my_optimizer(1e-3))

`CHECKS` holds the parts of the contract by name, for a test of its own each. Needs chex:
pip install 'optax-core[testing]'.
"""

import copy
import dataclasses
import functools
import pickle
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from types import ModuleType
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import tree
from optax.core._apply import apply_updates
from optax.core._eager import FACTORY_MARK
from optax.core._numerics import dtype_of, is_random_key
from optax.core._types import (
    GradientTransformation,
    MaskedNode,
    OptState,
    Params,
    PyTree,
    Updates,
    with_extra_args_support,
)

try:
    import chex
except ModuleNotFoundError as error:
    error.msg = "optax.core.testing needs chex: pip install 'optax-core[testing]'"
    raise

__all__ = ["CHECKS", "Subject", "check_transformation", "factories"]

ExtraArgs: TypeAlias = Callable[[Params, Updates], Mapping[str, Any]]


def _default_params() -> Params:
    return {
        "matrix": jnp.linspace(-1.0, 1.0, 6, dtype=jnp.float32).reshape(2, 3),
        "nested": [jnp.asarray([0.5, -2.0, 1.0], jnp.float32), jnp.asarray(1.5, jnp.float32)],
    }


def _no_extra_args(params: Params, updates: Updates) -> Mapping[str, Any]:
    return {}


@dataclasses.dataclass(frozen=True)
class Subject:
    """A transformation under test. The checks of one subject share what they compile.

    Attributes:
      tx: the transformation.
      params: tree of float32 parameters to test it on.
      extra_args: `extra_args(params, updates)` returns the keyword arguments that `tx.update` cannot do without.
    """

    tx: GradientTransformation
    params: Params = dataclasses.field(default_factory=_default_params)
    extra_args: ExtraArgs = _no_extra_args

    def gradient(self, step: int, like: Params | None = None) -> Updates:
        """Some gradient, another one each step."""
        like = self.params if like is None else like
        noise = tree.random_like(jax.random.key(step), like, _normal)
        return jax.tree.map(lambda p, z: (p + z).astype(p.dtype), tree.cast_like(like, noise), noise)

    def update(self, updates: Updates, state: OptState, params: Params) -> tuple[Updates, OptState]:
        """`tx.update` with the parameters and the extra arguments that it needs."""
        update = with_extra_args_support(self.tx).update
        return update(updates, state, params, **self.extra_args(params, updates))

    def step(self, params: Params, state: OptState, updates: Updates) -> tuple[Params, OptState]:
        """One step of training."""
        updates, state = self.update(updates, state, params)
        return apply_updates(params, updates), state

    def compiled_step(self, params: Params, state: OptState, updates: Updates) -> tuple[Params, OptState]:
        """The same, compiled once for all checks."""
        with warnings.catch_warnings():  # a state of changing form cannot be donated: other checks say so
            warnings.filterwarnings("ignore", "Some donated buffers were not usable", UserWarning)
            return self._donating_step(*_copied((params, state)), updates)

    @functools.cached_property
    def _traces(self) -> list[str]:
        """One entry for each time that the step was traced."""
        return []

    @functools.cached_property
    def _donating_step(self) -> Callable[..., tuple[Params, OptState]]:
        """The compiled step, which takes over the buffers of the parameters and the state."""

        def step_once_traced(*args: Any) -> tuple[Params, OptState]:
            self._traces.append("step")
            return self.step(*args)

        return jax.jit(step_once_traced, donate_argnums=(0, 1))

    @functools.cached_property
    def _first(self) -> tuple[Updates, OptState]:
        """What the first update gives, outside `jit`."""
        return self.update(self.gradient(0), self.tx.init(self.params), self.params)

    @functools.cached_property
    def _course(self) -> list[tuple[Params, OptState]]:
        """The parameters and the state after each of three compiled steps."""
        course = [(self.params, self.tx.init(self.params))]
        for step in range(3):
            course.append(self.compiled_step(*course[-1], self.gradient(step)))
        return course[1:]

    @functools.cached_property
    def _has_control_flow(self) -> bool:
        jaxpr = jax.make_jaxpr(self.update)(self.gradient(0), self.tx.init(self.params), self.params)
        return re.search(r"\b(cond|scan|while)\[", str(jaxpr)) is not None

    def _quick(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, which calls `update`, in the form that runs it soonest.

        Outside `jit` JAX compiles each operation once for all transformations, but control flow anew each time.
        """
        return jax.jit(function) if self._has_control_flow else function

    @functools.cached_property
    def _quick_update(self) -> Callable[..., tuple[Updates, OptState]]:
        return self._quick(self.update)


def _copied(t: PyTree) -> PyTree:
    """`t` in buffers of its own."""
    return jax.tree.map(lambda x: jnp.array(x, copy=True), t)


def _normal(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    return jax.random.normal(key, shape, dtype)


def _form(t: PyTree) -> list[tuple[str, tuple[int, ...], str, bool]]:
    """Path, shape, dtype and weak type of every leaf: what decides whether a step is compiled again."""
    return [
        (jax.tree_util.keystr(path), np.shape(x), str(dtype_of(x)), getattr(x, "weak_type", not hasattr(x, "dtype")))
        for path, x in jax.tree_util.tree_leaves_with_path(t)
    ]


def _same_form(new: PyTree, old: PyTree, what: str) -> None:
    chex.assert_trees_all_equal_structs(new, old)
    for after, before in zip(_form(new), _form(old), strict=True):
        assert after == before, f"{what}: leaf {before[0]} was {_describe(before)} and became {_describe(after)}"


def _describe(leaf: tuple[str, tuple[int, ...], str, bool]) -> str:
    _, shape, dtype, weak = leaf
    return f"{'weakly typed ' * weak}{dtype}{list(shape)}"


def _finite(t: PyTree, what: str) -> None:
    for path, x in jax.tree_util.tree_leaves_with_path(t):
        if jnp.issubdtype(dtype_of(x), jnp.inexact):
            assert bool(jnp.all(jnp.isfinite(x))), f"{what}: leaf {jax.tree_util.keystr(path)} is {x}"


def _data(t: PyTree) -> PyTree:
    """`t` with plain integers in place of random keys, which cannot be compared."""
    return tree.unwrap_random_key_data(t)


def _close(a: PyTree, b: PyTree) -> None:
    chex.assert_trees_all_close(without_hashes(a), without_hashes(b), rtol=1e-5, atol=1e-6)


def without_hashes(t: PyTree) -> PyTree:
    """`t` with 0 in place of unsigned scalars: hashes of results, which any rounding changes."""

    def on_leaf(x: Any) -> Any:
        return jnp.zeros_like(x) if np.ndim(x) == 0 and jnp.issubdtype(dtype_of(x), jnp.unsignedinteger) else x

    return jax.tree.map(on_leaf, t)


def is_a_pair_of_functions(s: Subject) -> None:
    """It is a `GradientTransformation`: a tuple of the two functions `init` and `update`."""
    assert isinstance(s.tx, GradientTransformation), f"it is a {type(s.tx).__name__}"
    init, update = s.tx
    assert callable(init), f"init is {init!r}"
    assert callable(update), f"update is {update!r}"


def state_is_strongly_typed(s: Subject) -> None:
    """The leaves of the initial state are arrays of a strong type, also for weakly typed parameters."""
    for params in (s.params, _weakly_typed(s.params)):
        for path, shape, dtype, weak in _form(s.tx.init(params)):
            assert not weak, f"init made leaf {path} a {_describe((path, shape, dtype, weak))}"


def _weakly_typed(params: Params) -> Params:
    """A weakly typed scalar for each parameter."""
    return jax.tree.map(lambda p: jnp.asarray(p.sum().item()), params)


def init_is_pure(s: Subject) -> None:
    """Two calls of `init` give equal states, in buffers of their own, so that state and parameters can be donated."""
    state = s.tx.init(s.params)
    chex.assert_trees_all_equal(jax.device_get(state), jax.device_get(s.tx.init(s.params)))
    leaves = [x for x in jax.tree.leaves((s.params, state)) if isinstance(x, jax.Array) and x.size]
    buffers = [x.unsafe_buffer_pointer() for x in leaves if not is_random_key(x)]
    assert len(set(buffers)) == len(buffers), "two leaves of the parameters and the initial state share one buffer"


def init_takes_abstract_parameters(s: Subject) -> None:
    """`init` works on `ShapeDtypeStruct`s and under `jax.eval_shape`, with a state of the same form."""
    state = s.tx.init(s.params)
    abstract = jax.eval_shape(lambda params: params, s.params)
    _same_form(jax.eval_shape(s.tx.init, s.params), state, "under eval_shape")
    _same_form(s.tx.init(abstract), state, "on ShapeDtypeStructs")


def updates_keep_their_form(s: Subject) -> None:
    """Updates come out with the structure, shapes and dtypes of the gradients that went in."""
    _same_form(s._first[0], s.gradient(0), "updates")


def state_keeps_its_form(s: Subject) -> None:
    """No update changes the structure, a shape, a dtype or the weak type of the state."""
    first = s.tx.init(s.params)
    _same_form(s._first[1], first, "state after update 1")
    for step, (_, state) in enumerate(s._course):
        _same_form(state, first, f"state after compiled step {step + 1}")
    weak = _weakly_typed(s.params)
    first = s.tx.init(weak)
    _same_form(jax.eval_shape(s.update, weak, first, weak)[1], first, "state after an update of weakly typed numbers")


def update_is_pure(s: Subject) -> None:
    """Equal arguments give equal results, and the arguments are left alone."""
    arguments = (s.gradient(0), s.tx.init(s.params), s.params)
    kept = jax.tree.map(np.array, _data(arguments))
    chex.assert_trees_all_equal(_data(s.update(*arguments)), _data(s._first))
    chex.assert_trees_all_equal(_data(arguments), kept)


def compiles_once(s: Subject) -> None:
    """A jitted step computes what the eager one does, and is compiled once however often it runs."""
    params, state = s._course[0]
    assert len(s._traces) == 1, f"{len(s._course)} steps were traced {len(s._traces)} times"
    updates, eager_state = s._first
    _close(_data((params, state)), _data((apply_updates(s.params, updates), eager_state)))


def buffers_can_be_donated(s: Subject) -> None:
    """A compiled step can take over the buffers of the parameters and of the state, from the very first step on."""
    params = _copied(s.params)
    state = s.tx.init(params)
    kept = jax.tree.map(np.array, _data(state))
    _close(_data(s._donating_step(params, state, s.gradient(0))), _data(s._course[0]))
    chex.assert_trees_all_equal(_data(s.tx.init(s.params)), kept)


def scan_carries_the_state(s: Subject) -> None:
    """The state can be the carry of `jax.lax.scan`."""
    gradients = [s.gradient(step) for step in range(len(s._course))]
    stacked = jax.tree.map(lambda *g: jnp.stack(g), *gradients)
    start = s.params, s.tx.init(s.params)
    scanned, _ = jax.lax.scan(lambda carry, g: (s.step(*carry, g), None), start, stacked)
    _close(_data(scanned), _data(s._course[-1]))


def vmap_agrees_with_a_loop(s: Subject) -> None:
    """Mapped over a batch of parameters, states and gradients it computes what it does for each of them."""
    batch = [(s.gradient(10 + i), s.gradient(i)) for i in range(2)]
    one_by_one = [s.compiled_step(params, s.tx.init(params), gradient) for params, gradient in batch]
    params, gradients = (jax.tree.map(lambda *x: jnp.stack(x), *column) for column in zip(*batch, strict=True))
    together = s._quick(jax.vmap(lambda p, g: s.step(p, s.tx.init(p), g)))(params, gradients)
    _close(_data(together), jax.tree.map(lambda *x: jnp.stack(x), *map(_data, one_by_one)))


def ignores_unknown_arguments(s: Subject) -> None:
    """With `with_extra_args_support`, `update` takes keyword arguments it has no use for."""
    gradient, state = s.gradient(0), s.tx.init(s.params)

    def update(updates: Updates, state: OptState, params: Params) -> tuple[Updates, OptState]:
        known = s.extra_args(params, updates)
        return with_extra_args_support(s.tx).update(updates, state, params, **known, an_argument_of_someone_else=0)

    updates, state = jax.eval_shape(update, gradient, state, s.params)
    _same_form(updates, s._first[0], "updates")
    _same_form(state, s._first[1], "state")


def says_that_it_needs_the_parameters(s: Subject) -> None:
    """Without the parameters, `update` works or raises a ValueError that says to pass them."""

    def update(updates: Updates, state: OptState, params: Params) -> tuple[Updates, OptState]:
        return with_extra_args_support(s.tx).update(updates, state, **s.extra_args(params, updates))

    try:
        jax.eval_shape(update, s.gradient(0), s.tx.init(s.params), s.params)
    except ValueError as error:
        if "params" not in str(error):
            raise AssertionError("the message does not mention params") from error


def refuses_gradients_of_another_shape(s: Subject) -> None:
    """Gradients that do not fit the state raise, or at least are not broadcast."""
    state = s.tx.init(s.params)
    wrong = jax.tree.map(lambda g: jnp.stack([g, g]), s.gradient(0))
    try:
        updates, new_state = jax.eval_shape(s.update, wrong, state, s.params)
    except (ValueError, TypeError):
        return
    _same_form(updates, wrong, "updates")
    _same_form(new_state, state, "state")


DTYPES = ("bfloat16", "float16", "complex64")
MIXED_DTYPES = (("float32", "bfloat16"), ("bfloat16", "float32"), ("float16", "float32"))


def works_in_every_dtype(s: Subject) -> None:
    """bfloat16, float16 and complex parameters, and gradients of another precision, keep all forms and stay finite."""
    for dtype in DTYPES:
        params = tree.cast(s.params, dtype)
        first = state = s.tx.init(params)
        for step in range(3):
            gradient = s.gradient(step, tree.cast(s.params, dtype))
            updates, state = s._quick_update(gradient, state, params)
            _same_form(updates, gradient, f"updates of {dtype} parameters")
            _same_form(state, first, f"state of {dtype} parameters")
            _finite((updates, state), f"{dtype} parameters")
            params = apply_updates(params, updates)
    for param_dtype, gradient_dtype in MIXED_DTYPES:
        what = f"{param_dtype} parameters, {gradient_dtype} gradients"
        params, gradient = tree.cast(s.params, param_dtype), tree.cast(s.gradient(0), gradient_dtype)
        state = s.tx.init(params)
        updates, new_state = jax.eval_shape(s.update, gradient, state, params)
        _same_form(updates, gradient, f"updates, {what}")
        _same_form(new_state, state, f"state, {what}")


def zero_gradients_are_harmless(s: Subject) -> None:
    """Zero gradients, tiny ones (whose squares underflow), and ordinary ones after them, give finite updates."""
    for dtype in ("float16", "bfloat16", "float32"):
        params = tree.cast(s.params, dtype)
        state = s.tx.init(params)
        gradients = [(str(size), tree.full_like(params, size)) for size in (0.0, 0.0, 5e-5, 1.0)]
        for what, gradient in [*gradients, ("1.0 but for a zero", _with_a_zero(gradients[-1][1]))]:
            updates, state = s._quick_update(gradient, state, params)
            _finite((updates, state), f"{dtype} gradients of {what}")


def _with_a_zero(t: PyTree) -> PyTree:
    """`t` with a zero at the beginning of every leaf."""
    return jax.tree.map(lambda x: x.ravel().at[0].set(0).reshape(x.shape), t)


def empty_leaves_pass(s: Subject) -> None:
    """Leaves that are None, masked parts, arrays without elements and trees without leaves go through."""
    leaves, structure = jax.tree.flatten(s.params)
    treedef: Any = structure  # of a class that type checkers do not see
    gaps = (None, MaskedNode(), jnp.zeros((0, 3), jnp.float32)) if leaves else ()
    with_gaps = [treedef.unflatten([gap, *leaves[1:]]) for gap in gaps]
    # A transformation may be made for parameters of one structure (by a mask): others are no test of it then.
    without_leaves: list[Params] = [{}, ()] if treedef == jax.tree.structure(_default_params()) else []
    for params in with_gaps + without_leaves:
        state = s.tx.init(params)
        updates, new_state = s._quick_update(params, state, params)
        _same_form(updates, params, f"updates for {params}")
        _same_form(new_state, state, f"state for {params}")
        _finite((updates, new_state), f"{params}")


def leaves_of_any_rank_pass(s: Subject) -> None:
    """Parameters may have any number of axes: tried up to six."""
    leaves, structure = jax.tree.flatten(s.params)
    treedef: Any = structure
    for first in range(0, 7, max(1, len(leaves))):
        shapes = [(3, 1, 2, 2, 1, 2)[: (first + i) % 7] for i in range(len(leaves))]
        params = treedef.unflatten([np.zeros(shape, np.float32) for shape in shapes])
        state = jax.eval_shape(s.tx.init, params)
        updates, new_state = jax.eval_shape(s.update, params, state, params)
        _same_form(updates, params, f"updates for parameters of the shapes {shapes}")
        _same_form(new_state, state, f"state for parameters of the shapes {shapes}")


def numbers_of_python_and_numpy_pass(s: Subject) -> None:
    """Parameters and gradients may be NumPy's arrays, and numbers of Python's."""
    numpy = jax.tree.map(np.asarray, (s.gradient(0), s.params))
    floats = jax.tree.map(lambda x: x.sum().item(), numpy)
    for what, (gradient, params) in (("NumPy's arrays", numpy), ("Python's floats", floats)):
        usual_gradient, usual_params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), (gradient, params))
        state, usual_state = s.tx.init(params), s.tx.init(usual_params)
        _same_form(state, usual_state, f"initial state for {what}")
        updates, state = s.update(gradient, state, params)
        _, usual_state = jax.eval_shape(s.update, usual_gradient, usual_state, usual_params)
        _same_form(state, usual_state, f"state for {what}")
        _finite((updates, state), what)


def integer_parameters_pass(s: Subject) -> None:
    """Parameters of an integer dtype, whose gradients are of dtype float0, stay as they are."""
    leaves, structure = jax.tree.flatten(s.params)
    if not leaves:
        return
    treedef: Any = structure
    params = treedef.unflatten([jnp.ones((3,), jnp.int32), *leaves[1:]])
    gradient = treedef.unflatten([np.zeros((3,), jax.dtypes.float0), *jax.tree.leaves(s.gradient(0))[1:]])
    state = s.tx.init(params)
    updates, new_state = s._quick_update(gradient, state, params)
    _same_form(new_state, state, "state")
    _finite((jax.tree.leaves(updates)[1:], new_state), "update beside an integer parameter")
    new_params = apply_updates(params, updates)
    chex.assert_trees_all_equal(jax.tree.leaves(new_params)[0], jnp.ones((3,), jnp.int32))


def counters_saturate(s: Subject) -> None:
    """After as many steps as an int32 can count, the updates are still finite and the counters do not wrap."""
    largest = np.iinfo(np.int32).max

    def late(x: Any) -> Any:
        return jnp.full_like(x, largest - 1) if x.dtype == jnp.int32 and x.ndim == 0 else x

    state = jax.tree.map(late, s.tx.init(s.params))
    counters = [x for x in jax.tree.leaves(state) if x.dtype == jnp.int32 and x.ndim == 0]
    params = s.params
    for step in range(3):
        params, state = s.compiled_step(params, state, s.gradient(step))
        _finite((params, state), f"update {2**31 - 1 + step}")
    after = [x for x in jax.tree.leaves(state) if x.dtype == jnp.int32 and x.ndim == 0]
    assert all(int(x) >= 0 for x in after), f"counters went from {counters} to {after}"


def derivatives_are_finite(s: Subject) -> None:
    """The derivative of the updates with respect to the gradients is finite, where these are zero too."""

    def total(gradient: Updates) -> jax.Array:
        updates, _ = s.update(gradient, s.tx.init(s.params), s.params)
        return jnp.asarray(tree.sum(updates), jnp.float32)

    derivative = s._quick(jax.grad(total))
    ordinary = s.gradient(0)
    zeros = tree.zeros_like(ordinary)
    for what, gradient in (("", ordinary), (" with a zero in it", _with_a_zero(ordinary)), (" of zeros", zeros)):
        _finite(derivative(gradient), f"derivative at a gradient{what}")


def _pickles(x: Any) -> bool:
    try:
        pickle.dumps(x)
    except Exception:  # a lambda raises another kind than an open file
        return False
    return True


def is_a_value(s: Subject) -> None:
    """Made by a factory decorated with `transformation`, it copies and pickles to an equal value of equal hash."""
    recipe = s.tx._recipe
    if recipe is None:
        return
    others = [recipe(), copy.copy(s.tx)]
    if _pickles(recipe.arguments.args) and _pickles(recipe.arguments.kwargs):
        others += [copy.deepcopy(s.tx), pickle.loads(pickle.dumps(s.tx))]
    for other in others:
        assert other == s.tx, f"{other!r} is not equal to {s.tx!r}"
        assert hash(other) == hash(s.tx), f"{other!r} has another hash"


CHECKS: Mapping[str, Callable[[Subject], None]] = {
    check.__name__: check
    for check in (
        is_a_pair_of_functions,
        state_is_strongly_typed,
        init_is_pure,
        init_takes_abstract_parameters,
        updates_keep_their_form,
        state_keeps_its_form,
        update_is_pure,
        compiles_once,
        scan_carries_the_state,
        vmap_agrees_with_a_loop,
        ignores_unknown_arguments,
        says_that_it_needs_the_parameters,
        refuses_gradients_of_another_shape,
        works_in_every_dtype,
        zero_gradients_are_harmless,
        empty_leaves_pass,
        leaves_of_any_rank_pass,
        numbers_of_python_and_numpy_pass,
        integer_parameters_pass,
        counters_saturate,
        derivatives_are_finite,
        buffers_can_be_donated,
        is_a_value,
    )
}


def factories(module: ModuleType) -> dict[str, Callable[..., GradientTransformation]]:
    """The public factories of a module that are decorated with `transformation`.

    Args:
      module: a module or package.

    Returns:
      Name -> factory.
    """
    return {name: f for name, f in vars(module).items() if not name.startswith("_") and hasattr(f, FACTORY_MARK)}


def check_transformation(
    tx: GradientTransformation,
    params: Params | None = None,
    *,
    extra_args: ExtraArgs | None = None,
    skip: Collection[str] = (),
) -> None:
    """Check that a transformation keeps the contract that optimizers, wrappers and training loops rely on.

    Args:
      tx: the transformation.
      params: tree of float32 arrays to try it on; None for a small one with a matrix, a vector and a scalar.
      extra_args: `extra_args(params, updates)` returns the keyword arguments that `tx.update` cannot do without
        (a loss value, say).
      skip: names of checks, keys of `CHECKS`, that this transformation is known not to pass.

    Raises:
      AssertionError: parts of the contract are broken; the message lists all of them in words.
      ValueError: `skip` names a check that does not exist, or `params` holds something other than float32 arrays.
    """
    skip = {skip} if isinstance(skip, str) else set(skip)
    if unknown := skip - set(CHECKS):
        raise ValueError(f"skip names {sorted(unknown)}; the checks are {', '.join(CHECKS)}")
    subject = Subject(tx, _default_params() if params is None else params, extra_args or _no_extra_args)
    for path, leaf in jax.tree_util.tree_leaves_with_path(subject.params):
        if dtype_of(leaf) != np.float32:
            raise ValueError(f"params must be float32 arrays; at {jax.tree_util.keystr(path)} is {dtype_of(leaf)}")
    broken = []
    for name, check in CHECKS.items():
        if name in skip:
            continue
        try:
            check(subject)
        except Exception as error:
            rule = (check.__doc__ or name).strip()
            broken.append(f"- {name}: {rule}\n  But: {type(error).__name__}: {error}")
            if name == "is_a_pair_of_functions":
                break
    if broken:
        raise AssertionError(f"{tx!r} breaks {len(broken)} part(s) of the contract:\n" + "\n".join(broken))
