"""Cosine losses: what they are compared with."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
PAIR = {
    "predictions": rng.normal(size=(3, 5)).astype(np.float32),
    "targets": rng.normal(size=(3, 5)).astype(np.float32),
}
# One direction, the opposite one, a right angle.
ANGLES = {
    "predictions": np.asarray([[1.0, 2.0, -2.0], [3.0, 0.0, 4.0], [1.0, 1.0, 0.0]], np.float32),
    "targets": np.asarray([[2.0, 4.0, -4.0], [-0.75, 0.0, -1.0], [1.0, -1.0, 0.0]], np.float32),
}
ZERO = {
    "predictions": np.asarray([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]], np.float32),
    "targets": np.asarray([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]], np.float32),
}
BOTH = ("predictions", "targets")


def torch_similarity(predictions, targets):
    import torch

    return torch.nn.functional.cosine_similarity(predictions, targets, dim=-1)


def torch_similarity_of_columns(predictions, targets):
    import torch

    return torch.nn.functional.cosine_similarity(predictions, targets, dim=0)


def torch_similarity_of_short_vectors(predictions, targets):
    import torch

    return torch.nn.functional.cosine_similarity(predictions, targets, dim=-1, eps=2.0)


def torch_distance(predictions, targets):
    import torch

    ones = torch.ones(len(predictions), dtype=torch.float64)
    return torch.nn.functional.cosine_embedding_loss(predictions, targets, ones, reduction="none")


def scipy_distance(predictions, targets):
    from scipy.spatial.distance import cosine

    return np.asarray([cosine(p, t) for p, t in zip(predictions, targets, strict=True)])


SIMILARITY = Independent("torch.nn.functional.cosine_similarity", torch_similarity)
DISTANCE = Independent("torch.nn.functional.cosine_embedding_loss", torch_distance)
NAN = "Zero vectors give NaN in 0.2.8."

CASES = [
    LossCase("cosine_similarity", PAIR, {}, (SIMILARITY,), by=BOTH),
    LossCase("cosine_similarity", ANGLES, {}, (SIMILARITY,), by=BOTH),
    LossCase(
        "cosine_similarity",
        PAIR,
        {"axis": 0},
        (Independent("torch.nn.functional.cosine_similarity", torch_similarity_of_columns),),
        by=BOTH,
        batched=False,
    ),
    LossCase(
        "cosine_similarity",
        PAIR,
        {"epsilon": 4.0},  # some of the vectors are longer than 2, some are not
        (
            Independent(
                "torch.nn.functional.cosine_similarity",
                torch_similarity_of_short_vectors,
                "It differentiates the length of a vector even where a constant takes its place.",
            ),
        ),
        by=BOTH,
    ),
    LossCase("cosine_similarity", ZERO, {}, by=BOTH, original=NAN),
    LossCase(
        "cosine_distance", PAIR, {}, (DISTANCE, Independent("scipy.spatial.distance.cosine", scipy_distance)), by=BOTH
    ),
    LossCase("cosine_distance", ANGLES, {}, (DISTANCE,), by=BOTH),
    LossCase("cosine_distance", PAIR, {"epsilon": 4.0}, by=BOTH),
    LossCase("cosine_distance", ZERO, {}, by=BOTH, original=NAN),
]
