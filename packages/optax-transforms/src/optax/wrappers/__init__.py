"""Take an optimizer, return an optimizer: accumulate, skip, average, look ahead, scale the loss."""

from optax.core import _collision as _collision

_collision.check()

from optax.wrappers._averages import *
from optax.wrappers._conditional import *
from optax.wrappers._finite import *
from optax.wrappers._fused_step import *
from optax.wrappers._lookahead import *
from optax.wrappers._loss_scaling import *
from optax.wrappers._master_weights import *
from optax.wrappers._mechanic import *
from optax.wrappers._multi_steps import *
from optax.wrappers._plateau import *
from optax.wrappers._sam import *
from optax.wrappers._schedule_free import *

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
