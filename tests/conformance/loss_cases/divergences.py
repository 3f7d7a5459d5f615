"""Divergences: they are compared with torch and SciPy."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
TARGETS = rng.dirichlet(np.full(5, 5.0), size=4).astype(np.float32)
PREDICTIONS = np.log(rng.dirichlet(np.full(5, 5.0), size=4)).astype(np.float32)
BETWEEN_0_AND_1 = {"low": -20.0, "high": 0.0, "ranges": {"targets": (0.0, 1.0)}}

ZEROS = np.asarray([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]], np.float32)
FINITE = np.log(np.asarray([[0.2, 0.3, 0.5], [0.1, 0.6, 0.3]], np.float32))
INFINITE = np.asarray([[-0.5, -1.0, -np.inf], [-np.inf, 0.0, -np.inf]], np.float32)

NAN_SLOPES = "Its gradient by a target of 0 is NaN."
NAN_LOSSES = "-inf with a target of 0 makes its loss NaN."


def torch_kl_div(log_predictions, targets):
    import torch

    return torch.nn.functional.kl_div(log_predictions, targets, reduction="none").sum(-1)


def torch_kl_div_of_logarithms(log_predictions, log_targets):
    import torch

    return torch.nn.functional.kl_div(log_predictions, log_targets, reduction="none", log_target=True).sum(-1)


def scipy_rel_entr(log_predictions, targets):
    import scipy.special

    return scipy.special.rel_entr(targets, np.exp(log_predictions)).sum(-1)


def scipy_kl_div(log_predictions, targets):
    import scipy.special

    return scipy.special.kl_div(targets, np.exp(log_predictions)).sum(-1)


TORCH = Independent("torch.nn.functional.kl_div", torch_kl_div)
TORCH_NAN = Independent("torch.nn.functional.kl_div", torch_kl_div, NAN_LOSSES)
REL_ENTR = Independent("scipy.special.rel_entr", scipy_rel_entr)
KL_DIV = Independent("scipy.special.kl_div", scipy_kl_div)
LOGARITHMS = Independent("torch.nn.functional.kl_div", torch_kl_div_of_logarithms)
LOGARITHMS_NAN = Independent("torch.nn.functional.kl_div", torch_kl_div_of_logarithms, NAN_LOSSES)

BOTH = ("log_predictions", "targets")
CASES = [
    LossCase(
        "kl_divergence",
        {"log_predictions": PREDICTIONS, "targets": TARGETS},
        {},
        (TORCH, REL_ENTR),
        by=BOTH,
        **BETWEEN_0_AND_1,
    ),
    LossCase("kl_divergence", {"log_predictions": 2 * PREDICTIONS + 1, "targets": 3 * TARGETS}, {}, (TORCH, REL_ENTR)),
    LossCase("kl_divergence", {"log_predictions": FINITE, "targets": ZEROS}, {}, (TORCH, REL_ENTR)),
    LossCase("kl_divergence", {"log_predictions": FINITE, "targets": ZEROS}, {}, by=BOTH, original=NAN_SLOPES),
    LossCase("kl_divergence", {"log_predictions": INFINITE, "targets": ZEROS}, {}, (TORCH_NAN,), original=NAN_LOSSES),
    LossCase(
        "kl_divergence_with_log_targets",
        {"log_predictions": PREDICTIONS, "log_targets": np.log(TARGETS)},
        {},
        (LOGARITHMS,),
        by=("log_predictions", "log_targets"),
        low=-20.0,
        high=0.0,
    ),
    LossCase(
        "kl_divergence_with_log_targets",
        {"log_predictions": FINITE, "log_targets": INFINITE},
        {},
        (LOGARITHMS_NAN,),
        by=("log_predictions", "log_targets"),
        original="A log-target of -inf makes its loss NaN.",
    ),
]
for name in ("convex_kl_divergence", "generalized_kl_divergence"):
    CASES += [
        LossCase(name, {"log_predictions": PREDICTIONS, "targets": TARGETS}, {}, (KL_DIV,), by=BOTH, **BETWEEN_0_AND_1),
        LossCase(name, {"log_predictions": PREDICTIONS + 1, "targets": 3 * TARGETS}, {}, (KL_DIV,), by=BOTH),
        LossCase(name, {"log_predictions": FINITE, "targets": ZEROS}, {}, (KL_DIV,)),
        LossCase(name, {"log_predictions": INFINITE, "targets": ZEROS}, {}, by=BOTH, original=NAN_LOSSES),
    ]
