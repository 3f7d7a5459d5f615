"""Every public loss keeps what training steps rely on."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax.losses
from contract.signatures import undocumented

LOSSES: dict[str, Callable[..., Any]] = {
    name: loss for name in optax.losses.__all__ if inspect.isfunction(loss := getattr(optax.losses, name))
}

REAL = np.asarray([[0.5, -1.0, 2.0], [0.0, 3.0, -0.25]], np.float32)
PROBABILITIES = np.asarray([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]], np.float32)
CLASSES = np.asarray([2, 0])

# A batch of two examples: what is differentiated, and what is not.
INPUTS: dict[str, tuple[Any, Any]] = {
    "l2_loss": (REAL, PROBABILITIES),
    "softmax_cross_entropy": (REAL, PROBABILITIES),
    "softmax_cross_entropy_with_integer_labels": (REAL, CLASSES),
    "squared_error": (REAL, PROBABILITIES),
}


@pytest.mark.parametrize("name", sorted(LOSSES))
class TestEveryLoss:
    def test_one_value_for_each_example_whether_mapped_compiled_or_not(self, name: str) -> None:
        loss, (x, y) = LOSSES[name], INPUTS[name]
        values = loss(x, y)
        assert values.shape[0] == len(x)  # never reduced over the batch
        np.testing.assert_allclose(jax.jit(loss)(x, y), values, rtol=1e-6)
        np.testing.assert_allclose(jax.vmap(loss)(x, y), values, rtol=1e-6)
        np.testing.assert_allclose(jnp.stack([loss(a, b) for a, b in zip(x, y, strict=True)]), values, rtol=1e-6)

    @pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
    def test_low_precision_is_computed_in_float32(self, name: str, dtype: Any) -> None:
        loss, (x, y) = LOSSES[name], INPUTS[name]
        low = jnp.asarray(x, dtype)  # exact: the numbers are small fractions
        assert loss(low, y).dtype == jnp.float32
        np.testing.assert_allclose(loss(low, y), loss(x, y), rtol=1e-6)
        assert jax.grad(lambda x: loss(x, y).sum())(low).dtype == dtype

    def test_the_gradient_is_that_of_finite_differences(self, name: str) -> None:
        loss, (x, y) = LOSSES[name], INPUTS[name]
        gradient = jax.grad(lambda x: loss(x, y).sum())(jnp.asarray(x))
        for i in np.ndindex(x.shape):
            h = np.zeros_like(x)
            h[i] = 1e-2
            slope = (loss(x + h, y).sum() - loss(x - h, y).sum()) / 2e-2
            np.testing.assert_allclose(gradient[i], slope, atol=1e-3)

    def test_shapes_that_do_not_match_are_refused(self, name: str) -> None:
        loss, (x, y) = LOSSES[name], INPUTS[name]
        for wrong in (y[:1], y[..., None]):
            with pytest.raises(ValueError, match="shape"):
                loss(x, wrong)

    def test_the_docstring_covers_the_arguments(self, name: str) -> None:
        assert undocumented(LOSSES[name]) == []
