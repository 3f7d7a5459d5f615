"""Complete optimizers, and the update rules they are chained from."""

from optax.core import _collision as _collision

_collision.check()

from optax.optimizers._adam import *
from optax.optimizers._dog import *
from optax.optimizers._sgd import *

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
