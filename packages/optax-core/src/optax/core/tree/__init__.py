"""Arithmetic on pytrees; `optax.tree` is its public spelling where optax-meta is installed.

Several names hide builtins (`sum`, `max`, `set` ...): import the module, not its names.
"""

from optax.core.tree._arithmetic import *
from optax.core.tree._create import *
from optax.core.tree._lookup import *
from optax.core.tree._moments import *
from optax.core.tree._reduce import *
