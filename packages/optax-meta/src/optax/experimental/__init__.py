"""Older addresses: what the original keeps, or once kept, in `optax.experimental` is in `optax.transforms` here."""

from optax.experimental import aggregating as aggregating
from optax.transforms import SplitRealAndImaginaryState as SplitRealAndImaginaryState
from optax.transforms import split_real_and_imaginary as split_real_and_imaginary

# For `help` and `import *`, as in the packages.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
