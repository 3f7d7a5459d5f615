"""Estimators of the gradient of an expectation, from samples of the distribution it is taken over."""

from optax.core import _collision

_collision.check()

from optax.estimators._distributions import *
from optax.estimators._pathwise import *
from optax.estimators._score_function import *
from optax.estimators._tfp import *
from optax.estimators._version import __version__ as __version__

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
