"""Linear sum assignment: the least costly pairs of rows and columns."""

from optax.core import _collision

_collision.check()

from optax.assignment._hungarian import *

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
