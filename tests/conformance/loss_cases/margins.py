"""Losses of margins: against the original, torch and scikit-learn."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
OUTPUTS = rng.normal(size=(3, 4)).astype(np.float32)
SIGNS = np.where(rng.random(OUTPUTS.shape) < 0.5, np.float32(-1), np.float32(1))
KINKS = np.array([[0.0, 1.0, -1.0, 2.0, -2.0, 1e30, -1e30, 0.5]] * 2, np.float32)
KINK_SIGNS = np.array([[1.0] * 8, [-1.0] * 8], np.float32)
SCORES = rng.normal(size=(4, 5), scale=2).astype(np.float32)
LABELS = np.array([3, 0, 4, 4], np.int32)
PAIRS = np.array([[0.0, 0.25], [3.0, -3.0], [3.0, -3.0], [1.0, 1.0]], np.float32)
PAIR_LABELS = np.array([0, 0, 1, 1], np.int32)
TIES = np.array([[0.0, 0.0, 0.0], [2.0, 2.0, -1.0], [5.0, 1.0, 1.0], [0.0, 1e30, -1e30]], np.float32)
TIE_LABELS = np.array([0, 2, 0, 2], np.int32)
BOTH = ("predictor_outputs", "targets")


def torch_margin(margin):
    def call(predictor_outputs, targets):
        import torch

        zero = torch.zeros_like(predictor_outputs)
        return torch.nn.functional.margin_ranking_loss(
            predictor_outputs, zero, targets, margin=margin, reduction="none"
        )

    return Independent("torch.nn.functional.margin_ranking_loss", call)


def torch_hinge_embedding(predictor_outputs, targets):
    import torch

    return torch.nn.functional.hinge_embedding_loss(predictor_outputs, targets, reduction="none")


def sklearn_hinge(predictor_outputs, targets):
    from sklearn.metrics import hinge_loss

    return hinge_loss(targets.ravel(), predictor_outputs.ravel())


def sklearn_multiclass_hinge(scores, labels):
    from sklearn.metrics import hinge_loss

    return hinge_loss(labels, scores, labels=range(scores.shape[1]))


def torch_multi_margin(scores, labels):
    import torch

    return torch.nn.functional.multi_margin_loss(scores, labels, reduction="none") * scores.shape[1]


EVERY_CLASS = (
    "It adds up the margins that all the other classes miss; here, and in scikit-learn, only the worst counts."
)

CASES = [
    LossCase(
        "hinge_loss",
        {"predictor_outputs": OUTPUTS, "targets": SIGNS},
        {},
        (
            torch_margin(1.0),
            Independent(
                "torch.nn.functional.hinge_embedding_loss",
                torch_hinge_embedding,
                "Its first argument is a distance: positives cost the distance itself.",
            ),
        ),
        by=BOTH,
        ranges={"targets": (-1.0, 1.0)},
    ),
    LossCase(
        "hinge_loss",
        {"predictor_outputs": OUTPUTS, "targets": SIGNS},
        {"reduction": "mean"},
        (Independent("sklearn.metrics.hinge_loss", sklearn_hinge),),
        original="it does not reduce",
    ),
    LossCase("hinge_loss", {"predictor_outputs": KINKS, "targets": KINK_SIGNS}, by=BOTH),
    LossCase(
        "perceptron_loss",
        {"predictor_outputs": OUTPUTS, "targets": SIGNS},
        {},
        (torch_margin(0.0),),
        by=BOTH,
        ranges={"targets": (-1.0, 1.0)},
    ),
    LossCase("perceptron_loss", {"predictor_outputs": KINKS, "targets": KINK_SIGNS}, by=BOTH),
    LossCase(
        "multiclass_hinge_loss",
        {"scores": SCORES, "labels": LABELS},
        {},
        (Independent("torch.nn.functional.multi_margin_loss", torch_multi_margin, EVERY_CLASS),),
    ),
    LossCase(
        "multiclass_hinge_loss",
        {"scores": SCORES, "labels": LABELS},
        {"reduction": "mean"},
        (Independent("sklearn.metrics.hinge_loss", sklearn_multiclass_hinge),),
        original="it does not reduce",
    ),
    LossCase(
        "multiclass_hinge_loss",
        {"scores": PAIRS, "labels": PAIR_LABELS},
        {},
        (Independent("torch.nn.functional.multi_margin_loss", torch_multi_margin),),
    ),
    LossCase("multiclass_hinge_loss", {"scores": TIES, "labels": TIE_LABELS}),
    LossCase("multiclass_perceptron_loss", {"scores": SCORES, "labels": LABELS}),
    LossCase("multiclass_perceptron_loss", {"scores": TIES, "labels": TIE_LABELS}),
]
