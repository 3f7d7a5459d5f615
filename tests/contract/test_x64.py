"""Every public transformation where JAX has float64: what is float32 stays so, and what is float64 is not narrowed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import keystr, tree_leaves_with_path

from contract import calls
from x64 import enable_x64

PARAMS = {"matrix": np.linspace(-1.0, 1.0, 6).reshape(2, 3), "nested": [np.asarray([0.5, -2.0, 1.0]), np.asarray(1.5)]}
TRANSFORMATIONS = {name: tx for name, tx in calls.plain_calls().items() if name not in calls.STAGES}

# Whose state is narrower than float64 parameters.
NARROW: dict[str, str] = {
    "skip_if": "the measured values are float32, whatever they are measured on",
    "scale_by_distance_over_gradients": "param_dtype, that of the initial parameters it keeps, is float32 by default",
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(TRANSFORMATIONS))
def test_form(name: str, dtype: str) -> None:
    """Updates and state keep their form; no array of the state that is as large as a parameter is of another float."""
    with enable_x64():
        s = calls.subject(name, TRANSFORMATIONS[name], params=jax.tree.map(lambda p: jnp.asarray(p, dtype), PARAMS))
        gradient, state = s.gradient(0), s.tx.init(s.params)
        updates, new_state = s.update(gradient, state, s.params)
        assert forms(updates) == forms(gradient)
        assert forms(new_state) == forms(state)
        assert jax.tree.structure(new_state) == jax.tree.structure(state)
        for x in jax.tree.leaves((updates, new_state)):
            if jnp.issubdtype(x.dtype, jnp.floating):
                assert jnp.isfinite(x).all()
                assert x.dtype == dtype or x.ndim == 0 or name in NARROW


def forms(t: Any) -> list[tuple[Any, ...]]:
    return [(keystr(path), x.shape, x.dtype, x.weak_type) for path, x in tree_leaves_with_path(t)]


def test_the_table_is_about_what_exists() -> None:
    assert set(NARROW) <= set(TRANSFORMATIONS)
