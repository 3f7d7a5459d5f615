"""Focal losses: against the original, torchvision, pytorch_optimizer, and torch where they are cross entropies."""

import numpy as np

from conformance.loss_cases.binary import BOTH, EDGES, ENTROPY, HARD, LOGITS, SOFT
from conformance.losses import Independent, LossCase

rng = np.random.default_rng(1)
SCORES = rng.normal(size=(4, 5), scale=2).astype(np.float32)
LABELS = np.array([3, 0, 4, 4], np.int32)
PAIRS = rng.normal(size=(4, 2), scale=3).astype(np.float32)
PAIR_LABELS = np.array([0, 1, 1, 0], np.int32)
ALPHA = np.array([0.5, 1.0, 2.0, 0.0, 3.0], np.float32)


def torchvision_focal(alpha, gamma):
    def call(logits, labels):
        from torchvision.ops import sigmoid_focal_loss

        return sigmoid_focal_loss(logits, labels, alpha=alpha, gamma=gamma)

    return Independent("torchvision.ops.sigmoid_focal_loss", call)


def of_two_classes(logits, labels):
    from torchvision.ops import sigmoid_focal_loss

    return sigmoid_focal_loss(logits[:, 1] - logits[:, 0], labels.to(logits.dtype), alpha=-1, gamma=2)


def pytorch_optimizer_focal(logits, labels):
    from pytorch_optimizer import BCEFocalLoss

    return BCEFocalLoss(alpha=0.25, gamma=2.0, eps=1e-12, reduction="none")(logits.sigmoid(), labels)


def torch_cross_entropy(logits, labels):
    import torch

    return torch.nn.functional.cross_entropy(logits, labels, torch.tensor(ALPHA, dtype=logits.dtype), reduction="none")


CASES = [
    LossCase(
        "sigmoid_focal_loss",
        {"logits": LOGITS, "labels": SOFT},
        {"alpha": 0.25, "gamma": 1.5},
        (torchvision_focal(0.25, 1.5),),
        by=BOTH,
        ranges={"labels": (0.0, 1.0)},
    ),
    LossCase("sigmoid_focal_loss", {"logits": LOGITS, "labels": SOFT}, {}, (torchvision_focal(-1, 2),), by=BOTH),
    LossCase(
        "sigmoid_focal_loss",
        {"logits": LOGITS, "labels": HARD},
        {"alpha": 0.25},
        (
            torchvision_focal(0.25, 2),
            Independent("pytorch_optimizer.BCEFocalLoss", pytorch_optimizer_focal),
        ),
    ),
    *(
        LossCase(
            "sigmoid_focal_loss",
            {"logits": LOGITS, "labels": SOFT},
            {"alpha": 0.6, "gamma": gamma},
            (torchvision_focal(0.6, gamma),),
            by=BOTH,
        )
        for gamma in (0, 0.5, 1, 3, 4, 5)
    ),
    LossCase("sigmoid_focal_loss", {"logits": LOGITS, "labels": SOFT}, {"gamma": 0}, (ENTROPY,), by=BOTH),
    LossCase(
        "sigmoid_focal_loss",
        {"logits": EDGES[:1, :6], "labels": np.ones((1, 6), np.float32)},
        {"gamma": 2},
        (torchvision_focal(-1, 2),),
    ),
    LossCase("softmax_focal_loss", {"logits": SCORES, "labels": LABELS}, {"gamma": 1.5}),
    LossCase(
        "softmax_focal_loss",
        {"logits": PAIRS, "labels": PAIR_LABELS},
        {},
        (Independent("torchvision.ops.sigmoid_focal_loss", of_two_classes),),
    ),
    LossCase(
        "softmax_focal_loss",
        {"logits": SCORES, "labels": LABELS},
        {"alpha": ALPHA, "gamma": 0},
        (Independent("torch.nn.functional.cross_entropy", torch_cross_entropy),),
    ),
]
