"""Derivatives of piecewise constant functions, by random perturbation of what they are given."""

from optax.core import _collision

_collision.check()

from optax.perturbations._perturbations import *

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
