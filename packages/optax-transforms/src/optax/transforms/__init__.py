"""Building blocks of optimizers: updates go in, updates come out."""

from optax.core import _collision as _collision

_collision.check()

from optax.transforms._clip import *  # noqa: E402
from optax.transforms._decay import *  # noqa: E402
from optax.transforms._mask import *  # noqa: E402
from optax.transforms._momentum import *  # noqa: E402
from optax.transforms._scale import *  # noqa: E402
from optax.transforms._version import __version__ as __version__  # noqa: E402
