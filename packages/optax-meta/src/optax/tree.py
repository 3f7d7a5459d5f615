"""Arithmetic, reductions and state look-up on pytrees: `optax.core.tree` under its public name."""

from optax.core.tree import *

# For `help` and `import *`, as in the packages.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
