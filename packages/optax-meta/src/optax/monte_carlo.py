"""The older address of the gradient estimators, which live in `optax.estimators`."""

from optax.estimators import control_delta_method as control_delta_method
from optax.estimators import control_variates_jacobians as control_variates_jacobians
from optax.estimators import measure_valued_jacobians as measure_valued_jacobians
from optax.estimators import moving_avg_baseline as moving_avg_baseline
from optax.estimators import pathwise_jacobians as pathwise_jacobians
from optax.estimators import score_function_jacobians as score_function_jacobians

# For `help` and `import *`, as in the packages.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
