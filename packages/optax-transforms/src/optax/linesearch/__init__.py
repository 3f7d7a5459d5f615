"""Line searches: how far to go along a direction, found by evaluating the function."""

from optax.core import _collision as _collision

_collision.check()

from optax.linesearch._backtracking import *
from optax.linesearch._value_and_grad import *
from optax.linesearch._zoom import *

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
