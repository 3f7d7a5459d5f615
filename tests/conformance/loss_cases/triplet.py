"""Losses of triplets: compared with torch, which adds `eps` to each coordinate and not under the root."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
ANCHORS, POSITIVES, NEGATIVES = (rng.normal(size=(4, 5)).astype(np.float32) for _ in range(3))
TRIPLETS = {"anchors": ANCHORS, "positives": POSITIVES, "negatives": NEGATIVES}
COINCIDENT = TRIPLETS | {"positives": np.where([[True], [False]] * 2, ANCHORS, POSITIVES)}


def torch_triplet(degree, margin, eps):
    def loss(anchors, positives, negatives):
        import torch

        return torch.nn.functional.triplet_margin_loss(
            anchors, positives, negatives, margin=margin, p=degree, eps=eps, reduction="none"
        )

    return (Independent("torch.nn.functional.triplet_margin_loss", loss),)


NO_MAGNITUDE = "it takes powers of the signed differences: NaN, or not a distance"

CASES = [
    LossCase("triplet_margin_loss", TRIPLETS, {"margin": 4.0}, torch_triplet(2, 4.0, 1e-6), by=tuple(TRIPLETS)),
    LossCase(
        "triplet_margin_loss",
        TRIPLETS,
        {"margin": 6.0, "eps": 0.0},
        torch_triplet(2, 6.0, 0.0),
        by=tuple(TRIPLETS),
    ),
    LossCase(
        "triplet_margin_loss",
        TRIPLETS,
        {"norm_degree": 1, "margin": 9.0},
        torch_triplet(1, 9.0, 0.0),
        by=tuple(TRIPLETS),
        original=NO_MAGNITUDE,
    ),
    LossCase(
        "triplet_margin_loss",
        TRIPLETS,
        {"norm_degree": 3.5, "margin": 4.0, "eps": 0.0},
        torch_triplet(3.5, 4.0, 0.0),
        by=tuple(TRIPLETS),
        original=NO_MAGNITUDE,
    ),
    LossCase("triplet_margin_loss", TRIPLETS, {"norm_degree": 4, "margin": 4.0, "eps": 0.1}, by=tuple(TRIPLETS)),
    LossCase("triplet_margin_loss", TRIPLETS, {"axis": 0, "margin": 4.0}, by=tuple(TRIPLETS), batched=False),
    LossCase("triplet_margin_loss", COINCIDENT, {"margin": 4.0}, by=tuple(TRIPLETS)),
    LossCase(
        "triplet_margin_loss",
        COINCIDENT,
        {"margin": 4.0, "eps": 0.0},
        torch_triplet(2, 4.0, 0.0),
        by=tuple(TRIPLETS),
        original="the gradient at coincident points is NaN without eps",
    ),
]
