"""Linear algebra that optimizers are made of: orthogonal factors, inverse roots, eigenvectors, least squares."""

from optax.core import _collision as _collision

_collision.check()

from optax.linear_algebra._iterative import *
from optax.linear_algebra._orthogonal import *

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
