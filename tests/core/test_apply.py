"""From updates to parameters: sums rounded once, nothing broadcast, averages and target networks."""

from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.core import apply_updates, incremental_update, periodic_update
from strategies import INEXACT, REAL, Layer, gradients, trees, with_gradients
from x64 import enable_x64

FLOAT0 = np.zeros(2, jax.dtypes.float0)


def exact(x: Any) -> Any:
    return np.asarray(x, np.complex128)


@hypothesis.given(with_gradients(trees()))
def test_the_sum_has_the_form_of_the_parameters(drawn: Any) -> None:
    params, updates = drawn
    new = apply_updates(params, updates)
    assert jax.tree.structure(new) == jax.tree.structure(params)
    for p, u, x in zip(*map(jax.tree.leaves, (params, updates, new)), strict=True):
        assert (x.dtype, x.weak_type) == (p.dtype, False)
        assert np.array_equal(exact(x), exact(p) + exact(u))


@pytest.mark.parametrize("p_dtype", INEXACT)
@pytest.mark.parametrize("u_dtype", REAL)
def test_updates_of_another_precision(p_dtype: str, u_dtype: str) -> None:
    """Defects A8, A9."""
    new = apply_updates(jnp.asarray([1.5, -2.0], p_dtype), jnp.asarray([0.25, 1.0], u_dtype))
    assert new.dtype == p_dtype
    assert np.array_equal(exact(new), [1.75, -1])


def test_the_sum_is_rounded_once() -> None:
    """1 + 2^-8 lies halfway between two bfloat16 numbers; 2^-16, lost if the update were rounded first, decides."""
    assert float(apply_updates(jnp.bfloat16(1), jnp.float32(2**-8 + 2**-16))) == 1 + 2**-7


def test_python_and_numpy_parameters() -> None:
    """Defects A11, A17."""
    new = apply_updates(
        {"py": 1.5, "np": np.ones(2), "weak": jnp.asarray(1.0)}, {"py": 0.5, "np": np.ones(2), "weak": 1}
    )
    assert all(x.dtype == jnp.float32 and not x.weak_type for x in jax.tree.leaves(new))
    assert float(new["py"]) == float(new["weak"]) == 2


def test_what_has_no_update_stays() -> None:
    """Defect F8: None, and the gradient of an integer."""
    key = jax.random.key(0)
    params = Layer(jnp.ones(2), (jnp.asarray([3, 4]), key, None))
    new = apply_updates(params, Layer(None, (FLOAT0, None, None)))
    assert new.weight is params.weight
    assert new.bias[0] is params.bias[0]
    assert new.bias[1] is key


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"w": [jnp.ones((2, 3))]}, r"params and updates differ in shape at \['w'\]\[0\]: \(3,\) and \(2, 3\)"),
        ({"w": [jnp.ones((3, 1))]}, r"differ in shape at \['w'\]\[0\]: \(3,\) and \(3, 1\)"),
        ({"w": [jnp.float32(1)]}, r"differ in shape at \['w'\]\[0\]: \(3,\) and \(\)"),
        (
            {"w": [jnp.ones(3), jnp.ones(3)]},
            r"differ in tree structure: updates has a leaf at \['w'\]\[1\] where",
        ),
        ({"v": [jnp.ones(3)]}, r"differ in tree structure: params has a leaf at \['w'\]\[0\] where updates has none"),
        (jnp.ones(3), r"differ in tree structure: params has a leaf at \['w'\]\[0\] where updates has none"),
        ({"w": (jnp.ones(3),)}, r"differ in tree structure: PyTreeDef"),
    ],
    ids=["row", "column", "scalar", "longer", "key", "root", "container"],
)
def test_updates_that_do_not_fit_are_refused(updates: Any, message: str) -> None:
    """Defect F5: broadcast, a (2, 3) update changes a (3,) parameter to (2, 3)."""
    with pytest.raises(ValueError, match=message):
        apply_updates({"w": [jnp.ones(3)]}, updates)


@pytest.mark.parametrize(
    ("param", "update", "message"),
    [
        (np.ones(2, np.int32), np.ones(2, np.float32), "a float32 update cannot be added to a int32 parameter"),
        (np.ones(2, np.float32), np.ones(2, np.complex64), "a complex64 update cannot be added to a float32 parameter"),
        (np.ones(2, np.int32), np.ones(2, np.complex64), "a complex64 update cannot be added to a int32 parameter"),
    ],
)
def test_updates_of_another_kind_are_refused(param: Any, update: Any, message: str) -> None:
    """Defect F5: integer parameters used to be truncated silently."""
    with pytest.raises(TypeError, match=rf"{message}(.|\n)*at the leaf at \['w'\] of params"):
        apply_updates({"w": param}, {"w": update})


def test_integers_can_be_added_to_integers() -> None:
    assert np.array_equal(apply_updates(jnp.asarray([1, 2]), jnp.asarray([10, 20])), [11, 22])


def test_an_integer_update_is_not_wrapped_to_the_parameters_width() -> None:
    with pytest.raises(TypeError, match="int8"):
        apply_updates(jnp.zeros(2, jnp.int8), jnp.asarray([300, -300]))


def test_apply_updates_under_x64() -> None:
    with enable_x64():
        p, u = jnp.ones(2, jnp.float64), jnp.full(2, 1e-9, jnp.float64)
        assert np.array_equal(apply_updates(p, u), np.full(2, 1 + 1e-9))
        assert apply_updates(p.astype(jnp.float32), u).dtype == jnp.float32
        assert apply_updates(p, u.astype(jnp.bfloat16)).dtype == jnp.float64


# incremental_update


@pytest.mark.parametrize("dtype", INEXACT)
def test_incremental_update_is_a_weighted_mean(dtype: str) -> None:
    new, old = ({"a": jnp.asarray(v, dtype), "n": None} for v in ([4.0, -2.0], [0.0, 2.0]))
    mean = incremental_update(new, old, 0.25)
    assert mean["a"].dtype == dtype
    assert np.array_equal(exact(mean["a"]), [1, 1])
    assert mean["n"] is None
    assert np.array_equal(incremental_update(new, old, 1)["a"], new["a"])
    assert np.array_equal(incremental_update(new, old, 0)["a"], old["a"])


@pytest.mark.parametrize("new_dtype", REAL)
@pytest.mark.parametrize("old_dtype", REAL)
def test_an_average_keeps_its_dtype(new_dtype: str, old_dtype: str) -> None:
    """Defect A5: a float32 average of bfloat16 parameters is one of float32 precision."""
    new, old = jnp.zeros(2, new_dtype), jnp.ones(2, old_dtype)
    average = incremental_update(new, old, 1e-3)
    assert average.dtype == old_dtype
    assert np.array_equal(exact(average), exact(jnp.full(2, np.float32(1) - np.float32(1e-3), old_dtype)))


def test_a_float32_average_of_bfloat16_parameters_gets_there() -> None:
    """Defect A5."""
    new = jnp.zeros((), jnp.bfloat16)
    average, _ = jax.lax.scan(lambda old, _: (incremental_update(new, old, 1e-3), None), jnp.float32(1), length=1000)
    np.testing.assert_allclose(average, 0.999**1000, rtol=1e-4)  # a thousand roundings


@pytest.mark.parametrize("step", [0.5, np.float32(0.5), np.float64(0.5), jnp.bfloat16(0.5), jnp.asarray(0.5)])
def test_step_sizes_of_any_kind(step: Any) -> None:
    assert incremental_update(jnp.ones(2, jnp.bfloat16), jnp.zeros(2, jnp.bfloat16), step).dtype == jnp.bfloat16
    assert float(incremental_update(3.0, 1.0, step)) == 2


def test_averages_of_complex_tensors_with_an_array_for_the_step() -> None:
    assert np.array_equal(incremental_update(jnp.asarray([2j]), jnp.asarray([0j]), jnp.float32(0.5)), [1j])


def test_the_weights_add_up_for_a_step_size_of_low_precision() -> None:
    """Defect A5: the average of a constant is that constant."""
    assert float(incremental_update(jnp.float32(1), jnp.float32(1), jnp.bfloat16(1e-3))) == 1


@pytest.mark.parametrize(
    "new",
    [
        None,
        FLOAT0,
    ],
    ids=["None", "float0"],
)
def test_an_average_without_a_new_term_stays(new: Any) -> None:
    old = {"i": jnp.asarray([3, 4])}
    assert np.array_equal(incremental_update({"i": new}, old, 0.5)["i"], [3, 4])


def test_an_average_of_integers_is_refused() -> None:
    """The original promotes to float32; apply_updates refuses what cannot be represented."""
    with pytest.raises(TypeError, match="int32"):
        incremental_update(jnp.asarray([1]), jnp.asarray([0]), 0.5)


def test_averages_of_numpy_arrays() -> None:
    assert np.array_equal(incremental_update(np.ones(2), np.zeros(2), 0.5), [0.5, 0.5])


# periodic_update


@pytest.mark.parametrize(("steps", "due"), [(0, True), (1, False), (2, False), (3, True), (6, True)])
@pytest.mark.parametrize("make", [int, np.int64, jnp.int32, jnp.float32])
def test_periodic_update(steps: int, due: bool, make: Any) -> None:
    new, old = {"a": jnp.ones(2), "n": None}, {"a": jnp.zeros(2), "n": None}
    chosen = periodic_update(new, old, make(steps), 3)
    assert np.all(np.asarray(chosen["a"]) == due)
    assert chosen["n"] is None


def test_periodic_update_keeps_the_dtypes_of_the_old() -> None:
    assert periodic_update(jnp.ones(2), jnp.zeros(2, jnp.bfloat16), 0, 2).dtype == jnp.bfloat16
    with enable_x64():
        assert periodic_update(jnp.ones(2), jnp.zeros(2, jnp.float32), 0, np.int64(2)).dtype == jnp.float32


def test_periodic_update_of_random_keys() -> None:
    new, old = jax.random.key(1), jax.random.key(0)
    assert jnp.array_equal(periodic_update({"key": new}, {"key": old}, 0, 2)["key"], new)


@pytest.mark.parametrize("period", [0, -1, np.int64(0)])
def test_a_period_below_one_is_refused(period: Any) -> None:
    with pytest.raises(ValueError, match=f"update_period must be at least 1, not {period}"):
        periodic_update(jnp.ones(2), jnp.zeros(2), 1, period)


@pytest.mark.parametrize(
    "call",
    [
        lambda new, old: apply_updates(old, new),
        lambda new, old: incremental_update(new, old, 0.25),
        lambda new, old: periodic_update(new, old, 4, 2),
    ],
    ids=["apply_updates", "incremental_update", "periodic_update"],
)
class TestAll:
    @hypothesis.given(trees().flatmap(lambda p: gradients(p, "float32")))
    @hypothesis.settings(max_examples=10)
    def test_keeps_the_tree(self, call: Any, t: Any) -> None:
        assert jax.tree.structure(call(t, t)) == jax.tree.structure(t)

    def test_under_jit_vmap_grad_and_scan(self, call: Any) -> None:
        new, old = {"w": jnp.asarray([[4.0, 8.0], [0.0, 2.0]])}, {"w": jnp.asarray([[0.0, 0.0], [4.0, 2.0]])}
        rows = [call({"w": new["w"][i]}, {"w": old["w"][i]})["w"] for i in range(2)]
        assert np.array_equal(jax.jit(jax.vmap(call))(new, old)["w"], rows)
        scanned = jax.lax.scan(lambda c, x: (c, call(*x)), None, (new, old))[1]
        assert np.array_equal(scanned["w"], rows)
        assert np.all(np.isfinite(jax.jit(jax.grad(lambda n: jnp.sum(call(n, old)["w"])))(new)["w"]))

    def test_refuses_another_shape(self, call: Any) -> None:
        with pytest.raises(ValueError, match=r"differ in shape at \['w'\]"):
            call({"w": jnp.ones((2, 3))}, {"w": jnp.ones(3)})
