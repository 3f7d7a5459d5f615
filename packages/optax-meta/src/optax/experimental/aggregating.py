"""Older addresses: aggregation of the updates of single elements is in `optax.transforms` here."""

from optax.transforms import AccumulateAvgUpdatesState as AccumulateAvgUpdatesState
from optax.transforms import Aggregator as Aggregator
from optax.transforms import AggregatorUpdateFn as AggregatorUpdateFn
from optax.transforms import PerElementMeanAndSumSqDiffGradsState as PerElementMeanAndSumSqDiffGradsState
from optax.transforms import PerElementMeanAndVarianceEMAState as PerElementMeanAndVarianceEMAState
from optax.transforms import accumulate_avg_updates as accumulate_avg_updates
from optax.transforms import add_mean_variance_to_opt as add_mean_variance_to_opt
from optax.transforms import average_incrementally_updates as average_incrementally_updates
from optax.transforms import average_per_element_updates as average_per_element_updates
from optax.transforms import get_batch_size_from_per_elt_updates as get_batch_size_from_per_elt_updates
from optax.transforms import get_per_element_mean_and_sum_sq_diff_grads as get_per_element_mean_and_sum_sq_diff_grads
from optax.transforms import get_unbiased_mean_and_variance_ema as get_unbiased_mean_and_variance_ema
from optax.transforms import process as process
from optax.transforms import (
    track_per_element_mean_and_variance_with_ema as track_per_element_mean_and_variance_with_ema,
)

# For `help` and `import *`, as in the packages.
globals()["__all__"] = [name for name in globals() if not name.startswith("_")]
