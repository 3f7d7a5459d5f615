"""Losses: one value per example, never reduced over the batch."""

from optax.core import _collision

_collision.check()

from optax.losses._binary import *
from optax.losses._boxes import *
from optax.losses._classification import *
from optax.losses._contrastive import *
from optax.losses._cosine import *
from optax.losses._ctc import *
from optax.losses._distillation import *
from optax.losses._divergences import *
from optax.losses._fenchel_young import *
from optax.losses._focal import *
from optax.losses._likelihoods import *
from optax.losses._linear import *
from optax.losses._margins import *
from optax.losses._preference import *
from optax.losses._ranking import *
from optax.losses._regression import *
from optax.losses._segmentation import *
from optax.losses._triplet import *
from optax.losses._version import __version__ as __version__

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
