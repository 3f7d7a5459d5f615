"""TensorFlow Probability's JAX substrate, on the JAX that is installed.

While it is imported, TFP 0.25 registers a type in a table that it finds under two names: `pytype_aval_mappings` of
`jax.interpreters.xla`, which JAX 0.7 removed, and of `jax.core`, which JAX 0.10 deprecates. Both always meant one
dictionary. The missing names are put back while the import runs and taken away again; nothing else is touched.
"""

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import jax

__all__ = ["load_tfp"]

_NAME = "pytype_aval_mappings"


def load_tfp() -> ModuleType:
    """Import TensorFlow Probability for JAX, also on versions of JAX that are younger than it.

    Returns:
      The module `tensorflow_probability.substrates.jax`; its `distributions` fit the estimators.

    Raises:
      ImportError: it is not installed, or does not work with this JAX even so.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", f".*{_NAME}.*", DeprecationWarning)
            table = getattr(importlib.import_module("jax._src.core"), _NAME)
            xla = importlib.import_module("jax.interpreters.xla")
            with _lent(xla, _NAME, table), _lent(jax.core, _NAME, table):
                tfp = importlib.import_module("tensorflow_probability.substrates.jax")
                tfp.distributions  # noqa: B018  loaded on first access, which must be now
    except (ImportError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == "tensorflow_probability":
            raise ImportError("this needs TensorFlow Probability: pip install 'optax-estimators[tfp]'") from error
        raise ImportError(f"TensorFlow Probability does not work with JAX {jax.__version__}: {error}") from error
    return tfp


@contextlib.contextmanager
def _lent(module: ModuleType, name: str, value: Any) -> Iterator[None]:
    """`module.name` exists inside the block: its own, or else `value`."""
    if hasattr(module, name):
        yield
        return
    setattr(module, name, value)
    try:
        yield
    finally:
        delattr(module, name)
