"""The problems have the minima that they claim, and the strategies draw what they promise."""

from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from problems import PROBLEMS
from strategies import arrays, trees, with_gradients


@pytest.mark.parametrize("name", PROBLEMS)
def test_problems_have_the_minima_that_they_claim(name: str) -> None:
    problem = PROBLEMS[name]
    f = jax.jit(jax.value_and_grad(problem.f))
    assert float(f(problem.start)[0]) > 1
    value, gradient = f(problem.solution)
    assert float(value) == 0
    assert all(np.all(np.asarray(g) == 0) for g in jax.tree.leaves(gradient))
    for step in (0.1, -0.1):  # a minimum, not a saddle
        assert float(f(jax.tree.map(lambda x, step=step: x + step, problem.solution))[0]) > 0


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "complex quadratic"])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_problems_can_be_stated_in_any_dtype(name: str, dtype: Any) -> None:
    problem = PROBLEMS[name]
    value = problem.f(jax.tree.map(lambda x: x.astype(dtype), problem.solution))
    assert value.dtype == dtype
    assert float(value) == 0


@hypothesis.given(with_gradients(trees()))
def test_gradients_fit(drawn: Any) -> None:
    params, gradient = drawn
    assert jax.tree.structure(gradient) == jax.tree.structure(params)
    assert [(g.shape, g.dtype) for g in jax.tree.leaves(gradient)] == [
        (p.shape, p.dtype) for p in jax.tree.leaves(params)
    ]
    assert not any(x.weak_type for x in jax.tree.leaves(drawn))


@pytest.mark.parametrize(
    "wanted",
    [
        lambda t: isinstance(t, dict) and len(t) > 1,
        lambda t: isinstance(t, tuple) and hasattr(t, "_fields"),
        lambda t: hasattr(t, "weight") and t.bias is None,
        lambda t: isinstance(t, list) and any(isinstance(x, tuple) for x in t),
        lambda t: not jax.tree.leaves(t),
        lambda t: any(x.size == 0 for x in jax.tree.leaves(t)),
        lambda t: any(x.dtype == jnp.bfloat16 for x in jax.tree.leaves(t)),
    ],
    ids=["dict", "named tuple", "dataclass with None", "nested", "no leaves", "no elements", "bfloat16"],
)
def test_trees_of_every_kind_are_drawn(wanted: Any) -> None:
    # Without shrinking: any example will do.
    quick = hypothesis.settings(max_examples=500, derandomize=True, phases=[hypothesis.Phase.generate])
    hypothesis.find(trees(), wanted, settings=quick)


@hypothesis.given(arrays())
def test_every_dtype_holds_the_numbers_exactly(x: Any) -> None:
    quarters = np.asarray(x, np.complex128) * 4
    assert np.all(quarters == np.round(quarters))
