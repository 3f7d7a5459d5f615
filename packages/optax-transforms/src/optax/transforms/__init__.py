"""Building blocks of optimizers: updates go in, updates come out."""

from typing import TYPE_CHECKING

from optax.core import _collision as _collision

_collision.check()

from optax.transforms._accumulate import *
from optax.transforms._aggregate import *
from optax.transforms._clip import *
from optax.transforms._combine import *
from optax.transforms._decay import *
from optax.transforms._layout import *
from optax.transforms._mask import *
from optax.transforms._momentum import *
from optax.transforms._monitor import *
from optax.transforms._noise import *
from optax.transforms._normalize import *
from optax.transforms._partition import *
from optax.transforms._paths import *
from optax.transforms._per_example import *
from optax.transforms._rounding import *
from optax.transforms._rules import *
from optax.transforms._sanitize import *
from optax.transforms._scale import *
from optax.transforms._version import __version__ as __version__

# Existing code finds `chain` and the wrappers here too. They are built on this package: it cannot import them itself.
if TYPE_CHECKING:
    from optax.core import chain as chain
    from optax.wrappers import *
else:
    del TYPE_CHECKING  # no name of ours

    def __getattr__(name):
        if not name.startswith("_"):
            from optax import core, wrappers

            if name == "chain":
                return core.chain
            if name in wrappers.__all__:
                return getattr(wrappers, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)


# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
