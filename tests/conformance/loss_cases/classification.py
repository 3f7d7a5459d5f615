"""Softmax cross entropies: what they are compared with."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(4, 5)).astype(np.float32) * 3
LABELS = np.asarray([0, 3, 4, 1], np.int32)
PROBABILITIES = rng.dirichlet(np.ones(5), size=4).astype(np.float32)
IMPOSSIBLE = np.where(np.eye(4, 5, k=1) > 0, -np.inf, LOGITS).astype(np.float32)
LARGE = LOGITS * np.float32(1e4)

HIDDEN = rng.normal(size=(4, 3)).astype(np.float32)
LAYER = rng.normal(size=(3, 300)).astype(np.float32)
OF_MANY = np.asarray([0, 43, 44, 299], np.int32)


def torch_cross_entropy(logits, labels, **options):
    import torch

    return torch.nn.functional.cross_entropy(logits, labels, **{"reduction": "none", **options})


def smoothed(logits, labels):
    return torch_cross_entropy(logits, labels, label_smoothing=0.2)


def ignoring(logits, labels):
    return torch_cross_entropy(logits, labels, ignore_index=3, reduction="mean")


def everything(logits, labels):
    bounded = 4 * (logits / 4).tanh()
    return smoothed(bounded, labels) + 0.1 * bounded.logsumexp(-1) ** 2


def over_the_first_axis(logits, labels):
    return torch_cross_entropy(logits.T, labels)


def poly(logits, labels):
    return torch_cross_entropy(logits, labels) + 1.5 * (labels * (1 - logits.softmax(-1))).sum(-1)


def linear(hidden, weights, labels):
    return torch_cross_entropy(hidden @ weights, labels)


def linear_everything(hidden, weights, labels):
    return everything(hidden @ weights, labels)


def pytorch(function, differs=None):
    return (Independent("torch.nn.functional.cross_entropy", function, differs),)


def by_probabilities(name, logits, function=torch_cross_entropy, labels=PROBABILITIES, **settings):
    return LossCase(
        name,
        {"logits": logits, "labels": labels},
        settings,
        pytorch(function),
        by=("logits", "labels") if np.isfinite(logits).all() else ("logits",),
        ranges={"labels": (0.0, 1.0)},
    )


def by_integers(logits, function, **settings):
    return LossCase(
        "softmax_cross_entropy_with_integer_labels", {"logits": logits, "labels": LABELS}, settings, pytorch(function)
    )


CASES = [
    by_probabilities("softmax_cross_entropy", LOGITS),
    by_probabilities("softmax_cross_entropy", LARGE),
    by_probabilities("safe_softmax_cross_entropy", LOGITS),
    by_probabilities("poly_loss_cross_entropy", LOGITS, poly, epsilon=1.5),
    by_integers(LOGITS, torch_cross_entropy),
    by_integers(LARGE, torch_cross_entropy),
    by_integers(IMPOSSIBLE, torch_cross_entropy),
    by_integers(LOGITS, smoothed, label_smoothing=0.2),
    by_integers(LOGITS, ignoring, ignore_index=3, reduction="mean"),
    by_integers(LOGITS, everything, label_smoothing=0.2, z_loss=0.1, soft_cap=4.0),
    LossCase(
        "softmax_cross_entropy_with_integer_labels",
        {"logits": LOGITS.T, "labels": LABELS},
        {"axis": 0},
        pytorch(over_the_first_axis),
        batched=False,
    ),
    LossCase(
        "linear_softmax_cross_entropy",
        {"hidden": HIDDEN, "weights": LAYER, "labels": OF_MANY},
        {},
        pytorch(linear),
        by=("hidden", "weights"),
        batched=False,
    ),
    LossCase(
        "linear_softmax_cross_entropy",
        {"hidden": HIDDEN, "weights": LAYER, "labels": OF_MANY},
        {"label_smoothing": 0.2, "z_loss": 0.1, "soft_cap": 4.0, "block_size": 64},
        pytorch(linear_everything),
        by=("hidden", "weights"),
        batched=False,
    ),
]
