"""Older addresses: what the original keeps in `optax.contrib` is a name of `optax` and of one of its parts here."""

from optax import _private
from optax.optimizers import COCOBState as COCOBState
from optax.optimizers import DAdaptAdamWState as DAdaptAdamWState
from optax.optimizers import DoGState as DoGState
from optax.optimizers import DoWGState as DoWGState
from optax.optimizers import GaLoreDimensionNumbers as GaLoreDimensionNumbers
from optax.optimizers import GaLoreState as GaLoreState
from optax.optimizers import HutchinsonState as HutchinsonState
from optax.optimizers import MadgradState as MadgradState
from optax.optimizers import MomoAdamState as MomoAdamState
from optax.optimizers import MomoState as MomoState
from optax.optimizers import MuonDimensionNumbers as MuonDimensionNumbers
from optax.optimizers import MuonState as MuonState
from optax.optimizers import ProdigyState as ProdigyState
from optax.optimizers import ScaleByAdemamixState as ScaleByAdemamixState
from optax.optimizers import ScaleBySimplifiedAdEMAMixState as ScaleBySimplifiedAdEMAMixState
from optax.optimizers import SophiaState as SophiaState
from optax.optimizers import acprop as acprop
from optax.optimizers import ademamix as ademamix
from optax.optimizers import adopt as adopt
from optax.optimizers import cocob as cocob
from optax.optimizers import dadapt_adamw as dadapt_adamw
from optax.optimizers import dog as dog
from optax.optimizers import dowg as dowg
from optax.optimizers import dpsgd as dpsgd
from optax.optimizers import galore as galore
from optax.optimizers import hutchinson_estimator_diag_hessian as hutchinson_estimator_diag_hessian
from optax.optimizers import madgrad as madgrad
from optax.optimizers import momo as momo
from optax.optimizers import momo_adam as momo_adam
from optax.optimizers import muon as muon
from optax.optimizers import prodigy as prodigy
from optax.optimizers import scale_by_acprop as scale_by_acprop
from optax.optimizers import scale_by_ademamix as scale_by_ademamix
from optax.optimizers import scale_by_adopt as scale_by_adopt
from optax.optimizers import scale_by_cocob as scale_by_cocob
from optax.optimizers import scale_by_galore as scale_by_galore
from optax.optimizers import scale_by_madgrad as scale_by_madgrad
from optax.optimizers import scale_by_muon as scale_by_muon
from optax.optimizers import scale_by_simplified_ademamix as scale_by_simplified_ademamix
from optax.optimizers import simplified_ademamix as simplified_ademamix
from optax.optimizers import sophia as sophia
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

_private.adopt(globals())
