"""Complete optimizers, and the update rules they are chained from."""

from optax.core import _collision as _collision

_collision.check()

from optax.optimizers._adam import *
from optax.optimizers._sgd import *
