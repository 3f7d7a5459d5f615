"""Curvature of losses: products with Hessian, Gauss-Newton and Fisher matrices, their diagonals, traces and spectra."""

from optax.core import _collision

_collision.check()

from optax.second_order._diagonals import *
from optax.second_order._lanczos import *
from optax.second_order._products import *
from optax.second_order._spectrum import *
from optax.second_order._stochastic import *

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
