"""State slots and the averages that they hold: their dtypes, and digits that do not get lost."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.core import (
    copy_slot,
    debias,
    has_value,
    moving_average,
    new_slot,
    ratio,
    require_params,
    scheduled,
    slot_dtype,
    total_weight,
    widen,
)
from strategies import INEXACT
from x64 import enable_x64

BF16, F32 = jnp.bfloat16, jnp.float32


@pytest.mark.parametrize(
    ("dtype", "decay", "slot"),
    [
        ("float32", 0.999, "float32"),
        ("float32", None, "float32"),
        ("bfloat16", 0.9, "bfloat16"),
        ("bfloat16", 0.99, "float32"),  # 0.01 is below twice 2^-7
        ("bfloat16", 1 - 2**-6, "bfloat16"),  # exactly twice
        ("bfloat16", 0.999, "float32"),
        ("float16", 0.99, "float16"),
        ("float16", 0.999, "float32"),  # 0.001 is below twice 2^-10
        ("bfloat16", None, "float32"),
        ("bfloat16", 0.0, "bfloat16"),
        ("bfloat16", np.float32(0.9), "bfloat16"),
        ("bfloat16", lambda count: 0.9, "float32"),
        ("float8_e4m3fn", 0.9, "float32"),
        ("complex64", 0.9, "complex64"),
        ("complex64", None, "complex64"),
        ("int32", 0.999, "int32"),
        ("float64", None, "float64"),
    ],
)
def test_the_dtype_of_a_slot(dtype: str, decay: Any, slot: str) -> None:
    """Defects A4, A5: an average whose dtype cannot resolve 1 - decay never moves."""
    assert slot_dtype(dtype, decay) == slot


def test_the_dtype_of_a_slot_with_a_traced_decay() -> None:
    assert jax.jit(lambda decay: new_slot(jnp.ones(2, BF16), decay=decay))(0.5).dtype == F32


@pytest.mark.parametrize(
    ("options", "dtypes"),
    [
        ({"decay": 0.9}, ("bfloat16", "float32", "complex64", "int32")),
        ({"decay": 0.999}, ("float32", "float32", "complex64", "int32")),
        ({}, ("float32", "float32", "complex64", "int32")),
        ({"decay": 0.9, "real": True}, ("bfloat16", "float32", "float32", "int32")),
        ({"decay": 0.9, "dtype": "bfloat16"}, ("bfloat16", "bfloat16", "complex64", "bfloat16")),
        ({"dtype": jnp.float32, "real": True}, ("float32", "float32", "float32", "float32")),
        ({"dtype": float}, ("float32", "float32", "complex64", "float32")),
    ],
)
def test_new_slots(options: Any, dtypes: Any) -> None:
    params = [jnp.ones((2, 3), d) for d in ("bfloat16", "float32", "complex64", "int32")]
    for make in (lambda p: p, lambda p: jax.eval_shape(lambda: p)):  # arrays, and ShapeDtypeStructs (defect G5)
        slots = new_slot((make(params), None), **options)
        assert tuple(str(x.dtype) for x in slots[0]) == dtypes
        assert all(x.shape == (2, 3) and not x.weak_type and np.all(np.asarray(x) == 0) for x in slots[0])
        assert slots[1] is None


def test_new_slots_of_python_numbers_and_weak_arrays_are_strongly_typed() -> None:
    """Defects A11, A17."""
    slots = new_slot({"py": 1.5, "weak": jnp.asarray(1.5)}, decay=0.9)
    assert all(x.dtype == F32 and not x.weak_type for x in jax.tree.leaves(slots))


def test_new_slots_of_numpy_parameters() -> None:
    assert new_slot(np.ones(3), decay=0.9).dtype == F32


def test_new_slots_beside_random_keys() -> None:
    new_slot({"w": jnp.ones(2), "dropout": jax.random.key(0)}, decay=0.9)


def test_new_slots_lie_where_the_parameters_lie() -> None:
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:1]), "x")
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    assert new_slot(jax.device_put(jnp.ones(4, BF16), sharding)).sharding == sharding


# Averages


def test_moving_average() -> None:
    assert np.array_equal(moving_average(jnp.asarray([8.0, 0.0]), jnp.asarray([4.0, 4.0]), 0.75), [5, 3])


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999, 1 - 1e-6, 1 - 1e-9])
@pytest.mark.parametrize("count", [1, 2, 1000, 2**31 - 1])
def test_total_weight_to_full_precision(decay: float, count: int) -> None:
    """Defect A16, and the digits that 1 - decay**count loses in float32."""
    weight = total_weight(decay, jnp.int32(count))
    assert (weight.dtype, weight.weak_type) == (F32, False)
    expected = -np.expm1(count * np.log(decay)) if decay else 1.0
    np.testing.assert_allclose(weight, expected, rtol=3e-7)


@pytest.mark.parametrize("decay", [np.float32(0.5), jnp.float32(0.5), jnp.bfloat16(0.5), np.float64(0.5)])
def test_total_weight_with_arrays(decay: Any) -> None:
    assert float(total_weight(decay, jnp.int32(3))) == 0.875
    assert float(jax.jit(total_weight)(decay, jnp.int32(3))) == 0.875
    with enable_x64():
        assert total_weight(0.5, jnp.int32(3)).dtype == jnp.float64


def test_total_weight_can_be_differentiated() -> None:
    assert float(jax.grad(total_weight)(jnp.float32(0.5), jnp.int32(3))) == -0.75


def test_total_weight_of_a_python_count() -> None:
    assert float(total_weight(0.5, 3)) == 0.875


@pytest.mark.parametrize("dtype", INEXACT)
def test_debias_and_ratio_keep_the_dtype(dtype: str) -> None:
    x = jnp.asarray([1.0, -3.0], dtype)
    for quotient in (debias(x, jnp.float32(0.5)), debias(x, 0.5), ratio(x, jnp.full(2, 0.5, x.real.dtype))):
        assert quotient.dtype == dtype
        assert np.array_equal(np.asarray(quotient, np.complex64), [2, -6])


def test_a_complex_ratio_overflows_no_earlier_than_a_real_one() -> None:
    """Division by a complex number with a zero imaginary part would square the denominator."""
    assert complex(ratio(jnp.asarray(1e30 + 1e30j), jnp.float32(1e30))) == 1 + 1j
    assert complex(ratio(jnp.asarray(1e-30j), jnp.float32(1e-30))) == 1j


def test_scheduled() -> None:
    assert scheduled(0.1, 3) == 0.1
    assert scheduled(lambda count: 2 * count, 3) == 6
    array = jnp.float32(0.1)
    assert scheduled(array, 3) is array


def test_require_params() -> None:
    params = {"w": 1.0}
    assert require_params(params) is params
    with pytest.raises(ValueError, match=r"call update\(updates, state, params\), and params must not be None"):
        require_params(None)


def test_a_slot_that_starts_as_the_parameters_has_buffers_of_its_own() -> None:
    """Defect G4: parameters and state could not be donated together."""
    params = {"w": jnp.asarray([1.0, 2.0], BF16), "z": jnp.asarray([1j]), "n": jnp.arange(3), "x": 1.5}
    slot = copy_slot(params)
    assert {k: str(v.dtype) for k, v in slot.items()} == {
        "w": "float32",
        "z": "complex64",
        "n": "int32",
        "x": "float32",
    }
    assert slot["w"].tolist() == [1, 2]
    assert not slot["x"].weak_type
    same = copy_slot(params, decay=0)
    assert same["w"].dtype == BF16
    assert same["w"].unsafe_buffer_pointer() != params["w"].unsafe_buffer_pointer()
    assert copy_slot(params, dtype=BF16)["z"].dtype == jnp.complex64
    assert copy_slot(jax.ShapeDtypeStruct((2,), F32)).tolist() == [0, 0]


def test_what_has_a_value() -> None:
    assert has_value(jnp.ones(2))
    assert has_value(0.5)
    assert not has_value(None)
    assert not has_value(np.zeros(2, jax.dtypes.float0))


@pytest.mark.parametrize(
    ("dtype", "wider"), [("bfloat16", F32), ("float32", F32), ("complex64", "complex64"), (int, F32)]
)
def test_widen(dtype: Any, wider: Any) -> None:
    assert widen(jnp.ones(2, dtype)).dtype == wider
