"""What only the reduction on a plateau promises."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import optax
from reference.plateau import ReduceOnPlateau
from x64 import enable_x64


def scales(tx: Any, metrics: Any, params: Any = None) -> list[float]:
    """The scale after each of the metrics."""
    params = jnp.ones(2) if params is None else params
    state = tx.init(params)
    update = jax.jit(lambda s, v: tx.update(params, s, params, value=v))
    found = []
    for metric in metrics:
        updates, state = update(state, metric)
        assert updates.dtype == params.dtype
        np.testing.assert_allclose(np.asarray(updates, np.float32), state.scale, rtol=1e-2)
        found.append(float(state.scale))
    return found


def losses(steps: int, seed: int) -> list[float]:
    rng = np.random.default_rng(seed)
    return [float(x) for x in 2 * np.exp(-np.arange(steps) / 15) + 0.05 * rng.normal(size=steps)]


@pytest.mark.parametrize(
    "settings",
    [
        {"patience": 1, "factor": 0.8},
        {"patience": 3, "cooldown": 2, "factor": 0.5},
        {"patience": 2, "rtol": 0.05, "factor": 0.7, "min_scale": 0.2},
        {"patience": 2, "rtol": 0.0, "atol": 0.02, "cooldown": 4},
        {"patience": 0, "factor": 0.8},
    ],
)
def test_matches_the_rules_of_pytorch(settings: dict[str, Any]) -> None:
    """With the patience of one more: here it is the number of bad values that reduces, there the last that does not."""
    full = {"factor": 0.1, "cooldown": 0, "min_scale": 0.0, "rtol": 1e-4, "atol": 0.0} | settings
    reference = ReduceOnPlateau(
        full["factor"],
        max(full["patience"] - 1, 0),
        full["cooldown"],
        full["min_scale"],
        full["rtol"],
        full["atol"],
    )
    metrics = losses(80, seed=3)
    expected = [reference(metric) for metric in metrics]
    assert len(set(expected)) > 2
    np.testing.assert_allclose(scales(optax.reduce_on_plateau(**settings), metrics), expected, rtol=1e-5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_sign_of_the_metric_does_not_matter(sign: float) -> None:
    """Defect D3: with the margin (1 - rtol) * best, a constant negative metric was an improvement every time."""
    tx = optax.reduce_on_plateau(patience=3)
    np.testing.assert_allclose(scales(tx, [sign] * 8), [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01], rtol=1e-6)
    # 20 % better each time, whichever side of 0.
    assert scales(tx, [sign * 1.25 ** (-sign * k) for k in range(8)]) == [1.0] * 8


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_metric_is_kept_in_float32_whatever_the_parameters_are(dtype: Any) -> None:
    """Defect D4: in bfloat16 a loss that falls by 0.002 from 3.0 does not seem to fall."""
    tx = optax.reduce_on_plateau(patience=5)
    params = jnp.ones(2, dtype)
    state = tx.init(params)
    assert {x.dtype for x in (state.scale, state.best_value, state.avg_value)} == {np.dtype("float32")}
    assert scales(tx, [3.0 - 0.002 * k for k in range(60)], params) == [1.0] * 60


def test_double_precision_under_x64() -> None:
    with enable_x64():
        tx = optax.reduce_on_plateau(patience=1, rtol=1e-12)
        assert tx.init(jnp.ones(2, jnp.float32)).best_value.dtype == jnp.float64
        assert scales(tx, [1.0, 1.0 - 1e-10, 1.0 - 2e-10]) == [1.0] * 3


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_no_improvement(bad: float) -> None:
    tx = optax.reduce_on_plateau(patience=2, factor=0.5)
    state = tx.init(jnp.ones(2))
    best, scale = [], []
    for value in (bad, 2.0, bad, 1.0, bad, bad, 0.5):
        _, state = tx.update(jnp.ones(2), state, value=value)
        best.append(float(state.best_value))
        scale.append(float(state.scale))
    assert best == [math.inf, 2.0, 2.0, 1.0, 1.0, 1.0, 0.5]
    assert scale == [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5]


def test_means_of_several_values() -> None:
    tx = optax.reduce_on_plateau(patience=1, factor=0.5, accumulation_size=2)
    state = tx.init(jnp.ones(2))
    history = []
    for value in (1.0, 3.0, 5.0, 1.0, 1.0, 1.0):
        _, state = tx.update(jnp.ones(2), state, value=value)
        history.append((float(state.avg_value), int(state.count), float(state.best_value), float(state.scale)))
    assert history == [
        (1.0, 1, math.inf, 1.0),
        (0.0, 0, 2.0, 1.0),
        (5.0, 1, 2.0, 1.0),
        (0.0, 0, 2.0, 0.5),  # 3 is not below 2
        (1.0, 1, 2.0, 0.5),
        (0.0, 0, 1.0, 0.5),
    ]


def test_nothing_is_counted_while_it_cools_down() -> None:
    tx = optax.reduce_on_plateau(patience=2, factor=0.5, cooldown=2)
    state = tx.init(jnp.ones(2))
    counts = []
    for value in (1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5):
        _, state = tx.update(jnp.ones(2), state, value=value)
        counts.append((int(state.plateau_count), int(state.cooldown_count), float(state.best_value)))
    assert counts == [(0, 0, 1.0), (1, 0, 1.0), (0, 2, 1.0), (0, 1, 0.5), (0, 0, 0.5), (1, 0, 0.5), (0, 2, 0.5)]
    assert float(state.scale) == 0.25


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float64(2), np.int32(2), np.array(2.0), ml_dtypes.bfloat16(2), jnp.bfloat16(2)]
)
def test_any_real_scalar_is_a_metric(value: Any) -> None:
    tx = optax.reduce_on_plateau()
    _, state = tx.update(jnp.ones(2), tx.init(jnp.ones(2)), value=value)
    assert (float(state.best_value), state.best_value.dtype, state.best_value.weak_type) == (2.0, jnp.float32, False)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, TypeError, r"looks at the loss: call update\(updates, state, params, value=loss\)"),
        ({"value": "a"}, TypeError, "value must be a real scalar, .* not 'a'"),
        ({"value": 1j}, TypeError, "value must be a real scalar"),
        (
            {"value": jnp.ones(2)},
            ValueError,
            r"value must be a scalar, as in update\(.*value=loss\), not of shape \(2,\)",
        ),
    ],
)
def test_the_metric_is_asked_for(arguments: dict[str, Any], error: Any, message: str) -> None:
    tx = optax.chain(optax.sgd(0.1), optax.reduce_on_plateau())
    with pytest.raises(error, match=message):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factor": 0.0}, "factor must be above 0 and below 1, not 0.0"),
        ({"factor": 1}, "factor must be above 0 and below 1, not 1"),
        ({"factor": 1.5}, "factor must be above 0 and below 1, not 1.5"),
        ({"factor": -0.1}, "factor must be above 0 and below 1, not -0.1"),
        ({"rtol": -1.0}, "rtol must be at least 0 and at most 1, not -1.0"),
        ({"rtol": 1.1}, "rtol must be at least 0 and at most 1, not 1.1"),
        ({"atol": -1.0}, "atol must be at least 0, not -1.0"),
        ({"rtol": 0.0}, "rtol and atol must not both be 0"),
        ({"patience": -1}, "patience must be at least 0, not -1"),
        ({"patience": 1.5}, "patience must be an integer, not 1.5"),
        ({"cooldown": True}, "cooldown must be an integer, not True"),
        ({"accumulation_size": 0}, "accumulation_size must be at least 1, not 0"),
        ({"min_scale": 2.0}, "min_scale must be at least 0 and at most 1, not 2.0"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        optax.reduce_on_plateau(**arguments)


def test_settings_can_be_traced() -> None:
    def last(factor: Any, patience: Any) -> Any:
        tx = optax.reduce_on_plateau(factor, patience, rtol=factor / 100)
        state = tx.init(jnp.ones(2))
        for _ in range(4):
            _, state = tx.update(jnp.ones(2), state, value=1.0)
        return state.scale

    found = jax.jit(jax.vmap(last))(jnp.asarray([0.5, 0.1]), jnp.asarray([1, 3]))
    np.testing.assert_allclose(found, [0.125, 0.1], rtol=1e-6)
