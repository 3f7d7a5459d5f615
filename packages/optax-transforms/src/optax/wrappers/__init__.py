"""Take an optimizer, return an optimizer: accumulate, skip, average, look ahead, scale the loss."""

from optax.core import _collision as _collision

_collision.check()


# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
