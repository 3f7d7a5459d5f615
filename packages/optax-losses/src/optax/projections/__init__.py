"""Euclidean projections of arrays and trees: onto boxes, balls, spheres, simplices, hyperplanes, half-spaces, lines."""

from optax.core import _collision

_collision.check()

from optax.projections._projections import *

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
