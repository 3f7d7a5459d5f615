"""Losses: one value per example, never reduced over the batch."""

from optax.core import _collision

_collision.check()

from optax.losses._classification import *
from optax.losses._regression import *
from optax.losses._version import __version__ as __version__

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
