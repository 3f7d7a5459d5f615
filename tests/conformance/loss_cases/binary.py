"""Losses between logits and probabilities of yes: against the original, torch and torchvision."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(3, 5), scale=2).astype(np.float32)
HARD = rng.integers(0, 2, size=LOGITS.shape).astype(np.float32)
SOFT = rng.uniform(0.05, 0.95, size=LOGITS.shape).astype(np.float32)
EDGES = np.array([[0.0, -0.0, 20.0, -20.0, 90.0, -90.0, 1e4, -1e4]] * 3, np.float32)
EDGE_LABELS = np.array([[0.0] * 8, [1.0] * 8, [0.5, 0.0, 0.75, 1.0, 0.25, 0.5, 0.125, 1.0]], np.float32)
INFINITE = np.array([[np.inf, -np.inf, 0.0], [np.inf, -np.inf, 0.0]], np.float32)
CONFIRMING = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]], np.float32)


def torch_entropy(logits, labels):
    import torch

    return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def torchvision_focal(logits, labels):
    from torchvision.ops import sigmoid_focal_loss

    return sigmoid_focal_loss(logits, labels, alpha=-1, gamma=2.5)  # alpha < 0: no weights


ENTROPY = Independent("torch.nn.functional.binary_cross_entropy_with_logits", torch_entropy)
BOTH = ("logits", "labels")

CASES = [
    LossCase(
        "sigmoid_binary_cross_entropy",
        {"logits": LOGITS, "labels": SOFT},
        independent=(ENTROPY,),
        by=BOTH,
        ranges={"labels": (0.0, 1.0)},
    ),
    LossCase("sigmoid_binary_cross_entropy", {"logits": LOGITS, "labels": HARD}, independent=(ENTROPY,), by=BOTH),
    LossCase("sigmoid_binary_cross_entropy", {"logits": EDGES, "labels": EDGE_LABELS}, independent=(ENTROPY,), by=BOTH),
    LossCase(
        "sigmoid_binary_cross_entropy",
        {"logits": INFINITE, "labels": CONFIRMING},
        original="an infinite logit gives NaN, here 0 if the label confirms it",
    ),
    LossCase(
        "asymmetric_loss",
        {"logits": LOGITS, "labels": SOFT},
        {"gamma_positive": 0.5, "clip": 0.1},
        by=BOTH,
        ranges={"labels": (0.0, 1.0)},
    ),
    LossCase(
        "asymmetric_loss",
        {"logits": LOGITS, "labels": SOFT},
        {"gamma_negative": 0.0, "clip": 0.0},
        (ENTROPY,),
        by=BOTH,
    ),
    LossCase(
        "asymmetric_loss",
        {"logits": LOGITS, "labels": HARD},
        {"gamma_positive": 2.5, "gamma_negative": 2.5, "clip": 0.0},
        (Independent("torchvision.ops.sigmoid_focal_loss", torchvision_focal),),
    ),
    LossCase(
        "asymmetric_loss",
        {"logits": EDGES, "labels": EDGE_LABELS},
        {"gamma_positive": 0, "gamma_negative": 0, "clip": 0},
        (ENTROPY,),
        by=BOTH,
    ),
]
