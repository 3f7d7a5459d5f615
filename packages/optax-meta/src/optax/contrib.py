"""Older addresses: what the original keeps in `optax.contrib` is a name of `optax` and of one of its parts here."""

from optax.optimizers import DoGState as DoGState
from optax.optimizers import DoWGState as DoWGState
from optax.optimizers import dog as dog
from optax.optimizers import dowg as dowg
from optax.transforms import DifferentiallyPrivateAggregateState as DifferentiallyPrivateAggregateState
from optax.transforms import NormalizeState as NormalizeState
from optax.transforms import SplitRealAndImaginaryState as SplitRealAndImaginaryState
from optax.transforms import differentially_private_aggregate as differentially_private_aggregate
from optax.transforms import normalize as normalize
from optax.transforms import split_real_and_imaginary as split_real_and_imaginary
from optax.wrappers import MechanicState as MechanicState
from optax.wrappers import ReduceLROnPlateauState as ReduceLROnPlateauState
from optax.wrappers import SAMState as SAMState
from optax.wrappers import ScheduleFreeState as ScheduleFreeState
from optax.wrappers import mechanize as mechanize
from optax.wrappers import reduce_on_plateau as reduce_on_plateau
from optax.wrappers import sam as sam
from optax.wrappers import schedule_free as schedule_free
from optax.wrappers import schedule_free_adamw as schedule_free_adamw
from optax.wrappers import schedule_free_eval_params as schedule_free_eval_params
from optax.wrappers import schedule_free_sgd as schedule_free_sgd

# For `help` and `import *`, as in the packages.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
