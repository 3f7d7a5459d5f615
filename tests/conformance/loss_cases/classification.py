"""Softmax cross entropies: what they are compared with."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(4, 5)).astype(np.float32) * 3
LABELS = np.asarray([0, 3, 4, 1], np.int32)
PROBABILITIES = rng.dirichlet(np.ones(5), size=4).astype(np.float32)


def torch_cross_entropy(logits, labels):
    import torch

    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


PYTORCH = Independent("torch.nn.functional.cross_entropy", torch_cross_entropy)

CASES = [
    LossCase(
        "softmax_cross_entropy",
        {"logits": LOGITS, "labels": PROBABILITIES},
        {},
        (PYTORCH,),
        by=("logits", "labels"),
        ranges={"labels": (0.0, 1.0)},
    ),
    LossCase("softmax_cross_entropy_with_integer_labels", {"logits": LOGITS, "labels": LABELS}, {}, (PYTORCH,)),
]
