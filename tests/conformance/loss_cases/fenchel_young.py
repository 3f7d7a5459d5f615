"""Sparsemax losses: against the original and scikit-learn."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(3, 5), scale=1.5).astype(np.float32)
HARD = rng.integers(0, 2, size=LOGITS.shape).astype(np.float32)
SOFT = rng.uniform(0.05, 0.95, size=LOGITS.shape).astype(np.float32)
EDGES = np.array([[0.0, 1.0, -1.0, 0.5, 7.0, -7.0, 1e30, -1e30]] * 2, np.float32)
EDGE_LABELS = np.array([[0.0] * 8, [1.0] * 8], np.float32)
SCORES = rng.normal(size=(4, 5)).astype(np.float32)
LABELS = np.array([3, 0, 4, 4], np.int32)
TIES = np.array([[0.0, 0.0, 0.0], [2.0, 1.0, 1.0], [1.0, 1.0, -1.0], [0.0, 100.0, -100.0]], np.float32)
TIE_LABELS = np.array([0, 2, 0, 2], np.int32)


def modified_huber(logits, labels):
    from sklearn.linear_model._sgd_fast import ModifiedHuber

    rule = ModifiedHuber()
    losses = [rule.py_loss(x, 2 * y - 1) / 4 for x, y in zip(logits.flat, labels.flat, strict=True)]
    return np.reshape(losses, logits.shape)


CASES = [
    LossCase(
        "sparsemax_loss",
        {"logits": LOGITS, "labels": SOFT},
        by=("logits", "labels"),
        ranges={"labels": (0.0, 1.0)},
        original="every label but 0 counts as 1, here labels are probabilities",
    ),
    LossCase(
        "sparsemax_loss",
        {"logits": LOGITS, "labels": HARD},
        {},
        (Independent("sklearn.linear_model._sgd_fast.ModifiedHuber", modified_huber),),
    ),
    LossCase("sparsemax_loss", {"logits": EDGES, "labels": EDGE_LABELS}),
    LossCase("multiclass_sparsemax_loss", {"scores": SCORES, "labels": LABELS}),
    LossCase("multiclass_sparsemax_loss", {"scores": TIES, "labels": TIE_LABELS}),
]
