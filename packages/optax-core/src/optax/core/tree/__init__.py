"""Arithmetic on pytrees; `optax.tree` is its public spelling where optax-meta is installed.

Several names hide builtins (`sum`, `max`, `set` ...): import the module, not its names.
"""

from optax.core.tree._arithmetic import *
from optax.core.tree._convert import *
from optax.core.tree._create import *
from optax.core.tree._lookup import *
from optax.core.tree._moments import *
from optax.core.tree._reduce import *

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
