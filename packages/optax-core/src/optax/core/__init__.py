"""The protocol of gradient transformations, pytree arithmetic, and the kit to write and check an optimizer."""

from optax.core import tree as tree
from optax.core._apply import *
from optax.core._chain import *
from optax.core._checks import *
from optax.core._leaves import *
from optax.core._numerics import *
from optax.core._optional import *
from optax.core._recipe import *
from optax.core._sharding import *
from optax.core._stateless import *
from optax.core._types import *
from optax.core._version import __version__ as __version__

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
