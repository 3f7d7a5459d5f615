"""Schedules: hyperparameters as functions of the number of steps made."""

from optax.core import _collision

_collision.check()

from optax.core import Schedule as Schedule
from optax.core import StatefulSchedule as StatefulSchedule
from optax.schedules._algebra import *
from optax.schedules._constant import *
from optax.schedules._cooldown import *
from optax.schedules._cosine import *
from optax.schedules._cyclic import *
from optax.schedules._exponential import *
from optax.schedules._inject import *
from optax.schedules._inverse import *
from optax.schedules._join import *
from optax.schedules._json import *
from optax.schedules._onecycle import *
from optax.schedules._piecewise import *
from optax.schedules._plot import *
from optax.schedules._polynomial import *
from optax.schedules._preview import *
from optax.schedules._rex import *
from optax.schedules._set import *
from optax.schedules._stateful import *
from optax.schedules._value import *
from optax.schedules._version import __version__ as __version__
from optax.schedules._warmup import *

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
