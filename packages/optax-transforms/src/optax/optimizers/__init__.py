"""Complete optimizers, and the update rules they are chained from."""

from optax.core import _collision as _collision

_collision.check()

from optax.optimizers._adabelief import *
from optax.optimizers._adadelta import *
from optax.optimizers._adafactor import *
from optax.optimizers._adagrad import *
from optax.optimizers._adam import *
from optax.optimizers._adamax import *
from optax.optimizers._adan import *
from optax.optimizers._ademamix import *
from optax.optimizers._adopt import *
from optax.optimizers._amsgrad import *
from optax.optimizers._cocob import *
from optax.optimizers._dadapt_adamw import *
from optax.optimizers._dog import *
from optax.optimizers._dpsgd import *
from optax.optimizers._fromage import *
from optax.optimizers._galore import *
from optax.optimizers._lamb import *
from optax.optimizers._lars import *
from optax.optimizers._lbfgs import *
from optax.optimizers._lion import *
from optax.optimizers._madgrad import *
from optax.optimizers._minimize import *
from optax.optimizers._minimize_result import *
from optax.optimizers._momo import *
from optax.optimizers._muon import *
from optax.optimizers._noisy_sgd import *
from optax.optimizers._novograd import *
from optax.optimizers._optimistic import *
from optax.optimizers._polyak import *
from optax.optimizers._prodigy import *
from optax.optimizers._radam import *
from optax.optimizers._rmsprop import *
from optax.optimizers._rprop import *
from optax.optimizers._sgd import *
from optax.optimizers._sign import *
from optax.optimizers._sm3 import *
from optax.optimizers._sophia import *
from optax.optimizers._yogi import *

# For `help` and `import *`. Type checkers could not compute it: spelled like this, they follow the imports above.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
