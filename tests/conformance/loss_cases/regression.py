"""Regression losses: what they are compared with."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
PREDICTIONS = rng.normal(size=(3, 4)).astype(np.float32) * 2
TARGETS = rng.normal(size=(3, 4)).astype(np.float32)
PAIR = {"predictions": PREDICTIONS, "targets": TARGETS}
ONLY_PREDICTIONS = {"predictions": PREDICTIONS}
BOTH = ("predictions", "targets")
# Equal numbers, the kinks of the Huber losses below (at errors of 0.5 and 2), large errors.
EDGES = {
    "predictions": np.asarray([[1.0, -3.0, 0.5], [2.0, 0.0, -0.5], [1e4, -1e4, 1e-4]], np.float32),
    "targets": np.asarray([[1.0, -3.0, 0.0], [0.0, 2.0, 0.0], [1.0, 1.0, 0.0]], np.float32),
}
LEVELS = np.asarray([0.05, 0.25, 0.5, 0.9], np.float32)


def torch_mse(predictions, targets):
    import torch

    return torch.nn.functional.mse_loss(predictions, targets, reduction="none")


def torch_half_mse(predictions, targets):
    import torch

    return torch.nn.functional.mse_loss(predictions, targets, reduction="none") / 2


def torch_l1(predictions, targets):
    import torch

    return torch.nn.functional.l1_loss(predictions, targets, reduction="none")


def torch_huber(predictions, targets):
    import torch

    return torch.nn.functional.huber_loss(predictions, targets, reduction="none", delta=0.5)


def scipy_huber(predictions, targets):
    import scipy.special

    return scipy.special.huber(0.5, predictions - targets)


def torch_smooth_l1(predictions, targets):
    import torch

    return torch.nn.functional.smooth_l1_loss(predictions, targets, reduction="none", beta=2.0)


def torch_smooth_l1_without_a_square(predictions, targets):
    import torch

    return torch.nn.functional.smooth_l1_loss(predictions, targets, reduction="none", beta=0.0)


def sklearn_pinball(predictions, targets):
    from sklearn.metrics import mean_pinball_loss

    return mean_pinball_loss(targets, predictions, alpha=0.8)


def sklearn_pinballs(predictions, targets):
    """One level for each column, as there: the mean of the columns' means."""
    from sklearn.metrics import mean_pinball_loss

    columns = range(predictions.shape[1])
    return np.mean([mean_pinball_loss(targets[:, i], predictions[:, i], alpha=float(LEVELS[i])) for i in columns])


MSE = Independent("torch.nn.functional.mse_loss", torch_mse)
L1 = Independent("torch.nn.functional.l1_loss", torch_l1)
SMOOTH_L1 = Independent("torch.nn.functional.smooth_l1_loss", torch_smooth_l1)
HUBER = Independent("torch.nn.functional.huber_loss", torch_huber)
PINBALL = Independent("sklearn.metrics.mean_pinball_loss", sklearn_pinball)

CASES = [
    LossCase("squared_error", PAIR, {}, (MSE,), by=BOTH),
    LossCase("squared_error", EDGES, {}, (MSE,), by=BOTH),
    LossCase("squared_error", ONLY_PREDICTIONS),
    LossCase("l2_loss", PAIR, {}, (Independent("torch.nn.functional.mse_loss", torch_half_mse),), by=BOTH),
    LossCase("l2_loss", EDGES, {}, (Independent("torch.nn.functional.mse_loss", torch_half_mse),), by=BOTH),
    LossCase("l2_loss", ONLY_PREDICTIONS),
    LossCase("absolute_error", PAIR, {}, (L1,), by=BOTH),
    LossCase("absolute_error", EDGES, {}, (L1,), by=BOTH),
    LossCase("huber_loss", PAIR, {"delta": 0.5}, (HUBER, Independent("scipy.special.huber", scipy_huber)), by=BOTH),
    LossCase("huber_loss", PAIR, {}, by=BOTH),
    LossCase("huber_loss", EDGES, {"delta": 0.5}, (HUBER,), by=BOTH),
    LossCase("huber_loss", ONLY_PREDICTIONS),
    LossCase("smooth_l1_loss", PAIR, {"beta": 2.0}, (SMOOTH_L1,), by=BOTH),
    LossCase("smooth_l1_loss", EDGES, {"beta": 2.0}, (SMOOTH_L1,), by=BOTH),
    LossCase(
        "smooth_l1_loss",
        EDGES,
        {"beta": 0.0},
        (Independent("torch.nn.functional.smooth_l1_loss", torch_smooth_l1_without_a_square), L1),
        by=BOTH,
    ),
    LossCase("log_cosh", PAIR, {}, by=BOTH),
    LossCase("log_cosh", EDGES, {}, by=BOTH),
    LossCase("log_cosh", ONLY_PREDICTIONS),
    LossCase("quantile_loss", PAIR, {"quantile": 0.8}, by=BOTH),
    LossCase("quantile_loss", PAIR, {"quantile": 0.8, "reduction": "mean"}, (PINBALL,), by=BOTH, batched=False),
    LossCase(
        "quantile_loss",
        PAIR,
        {"quantile": LEVELS, "reduction": "mean"},
        (Independent("sklearn.metrics.mean_pinball_loss", sklearn_pinballs),),
        by=BOTH,
        batched=False,
    ),
    LossCase("expectile_loss", PAIR, {"expectile": 0.8}, by=BOTH),
]
