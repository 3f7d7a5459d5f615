"""Functions of a large batch, computed on a small part of it at a time."""

from optax.core import _collision

_collision.check()

from optax.microbatching._accumulators import *
from optax.microbatching._batch import *
from optax.microbatching._microbatch import *
from optax.microbatching._per_example import *

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
