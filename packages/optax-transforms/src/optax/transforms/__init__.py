"""Building blocks of optimizers: updates go in, updates come out."""

from optax.core import _collision as _collision

_collision.check()

from optax.transforms._clip import *
from optax.transforms._decay import *
from optax.transforms._mask import *
from optax.transforms._momentum import *
from optax.transforms._scale import *
from optax.transforms._version import __version__ as __version__

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
