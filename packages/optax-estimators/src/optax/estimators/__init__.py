"""Estimators of the gradient of an expectation, from samples of the distribution it is taken over."""

from optax.core import _collision

_collision.check()

from optax.estimators._antithetic import *
from optax.estimators._binary import *
from optax.estimators._black_box import *
from optax.estimators._control_variates import *
from optax.estimators._distributions import *
from optax.estimators._leave_one_out import *
from optax.estimators._mean import *
from optax.estimators._measure_valued import *
from optax.estimators._numpyro import *
from optax.estimators._pathwise import *
from optax.estimators._rebar import *
from optax.estimators._relaxed import *
from optax.estimators._report import *
from optax.estimators._score_function import *
from optax.estimators._tfp import *
from optax.estimators._variational import *
from optax.estimators._version import __version__ as __version__

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
