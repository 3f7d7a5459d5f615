import importlib
import sys
import types

import jax
import pytest

from optax.estimators import load_tfp

pytestmark = pytest.mark.tfp


def test_loads_the_jax_substrate_and_leaves_jax_as_it_was():
    xla = importlib.import_module("jax.interpreters.xla")
    before = set(dir(xla)), set(vars(jax.core))
    tfp = load_tfp()
    assert tfp.__name__ == "tensorflow_probability.substrates.jax"
    assert (set(dir(xla)), set(vars(jax.core))) == before
    assert load_tfp() is tfp
    assert tfp.distributions.Normal(0.0, 1.0).mean() == 0


def test_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_probability", None)
    monkeypatch.setitem(sys.modules, "tensorflow_probability.substrates.jax", None)
    with pytest.raises(ImportError, match=r"pip install 'optax-estimators\[tfp\]'"):
        load_tfp()


def test_says_that_it_does_not_work_with_this_jax(monkeypatch):
    # an installation that stumbles over a name which JAX has removed
    broken = types.ModuleType("tensorflow_probability.substrates.jax")
    monkeypatch.setitem(sys.modules, broken.__name__, broken)
    with pytest.raises(ImportError, match=f"does not work with JAX {jax.__version__}: .* no attribute 'distributions'"):
        load_tfp()
