"""Segmentation: the losses are compared with those of pytorch_optimizer, one image after the other."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(2, 3, 4, 3)).astype(np.float32)
CLASSES = rng.permuted(np.tile(np.arange(3, dtype=np.int32), (2, 4)), axis=1).reshape(2, 3, 4)  # all in each image
ONE_HOT = np.eye(3, dtype=np.float32)[CLASSES]
SOFT = rng.dirichlet(np.ones(3), size=(2, 3, 4)).astype(np.float32)
PROBABILITIES = rng.dirichlet(np.ones(3), size=(2, 3, 4)).astype(np.float32)
WITHOUT_ONE = np.eye(3, dtype=np.float32)[np.where(CLASSES == 1, 0, CLASSES)]

MASKS = (CLASSES == 1).astype(np.float32)
EMPTY = np.stack([MASKS[0], np.zeros_like(MASKS[0])])


def each_class(loss, images, predictions, targets):
    """Losses of (image, class); of shape (B, pixels, C) there, with the classes first here."""
    import torch

    x, k = predictions.flatten(1, -2).transpose(1, 2), targets.flatten(1, -2).argmax(-1)
    groups = [slice(i, i + 1) for i in range(len(x))] if images else [slice(None)]
    rows = [torch.stack([loss(c)(x[g], k[g]) for c in range(x.shape[1])]) for g in groups]
    return torch.stack(rows) if images else rows[0]


def dice(label_smooth, images=True):
    def function(predictions, targets):
        import pytorch_optimizer

        of_class = lambda c: pytorch_optimizer.DiceLoss("multiclass", [c], label_smooth=label_smooth)  # noqa: E731
        return each_class(of_class, images, predictions, targets)

    return (Independent("pytorch_optimizer.DiceLoss", function),)


def jaccard(label_smooth, differs=None):
    def function(predictions, targets):
        import pytorch_optimizer

        of_class = lambda c: pytorch_optimizer.JaccardLoss("multiclass", [c], label_smooth=label_smooth)  # noqa: E731
        return each_class(of_class, True, predictions, targets)

    return (Independent("pytorch_optimizer.JaccardLoss", function, differs),)


def images(make):
    """Losses of binary masks, one image after the other."""

    def function(predictions, targets):
        import pytorch_optimizer
        import torch

        loss = make(pytorch_optimizer)
        return torch.stack([loss(x[None], y[None]) for x, y in zip(predictions, targets, strict=True)])

    return function


def binary_dice(library):
    return library.DiceLoss("binary", label_smooth=1.0)


def channels(make):
    """Losses of (image, channel), the channels being masks of their own."""

    def function(predictions, targets):
        import torch

        pairs = [(predictions[..., c], targets[..., c]) for c in range(predictions.shape[-1])]
        return torch.stack([images(make)(*pair) for pair in pairs], dim=-1)

    return function


TVERSKY = Independent("pytorch_optimizer.TverskyLoss", channels(lambda library: library.TverskyLoss(0.3, 0.7, 1.0)))
FOCAL = Independent(
    "pytorch_optimizer.FocalTverskyLoss", channels(lambda library: library.FocalTverskyLoss(0.3, 0.7, 0.75, 1.0))
)
FOCAL_INVERSE = Independent(
    "pytorch_optimizer.FocalTverskyLoss",
    channels(lambda library: library.FocalTverskyLoss(0.3, 0.7, 4 / 3, 1.0)),
    "Its exponent is gamma, that of the paper 1 / gamma.",
)


def lovasz_hinge(logits, labels):
    import pytorch_optimizer
    import torch

    loss = pytorch_optimizer.LovaszHingeLoss(per_image=True)
    return torch.stack([loss(x[None], y[None]) for x, y in zip(logits, labels, strict=True)])


LOVASZ_HINGE = Independent("pytorch_optimizer.LovaszHingeLoss", lovasz_hinge)
BOTH = ("predictions", "targets")
UNIT = {"targets": (0.0, 1.0)}
HARD = {"predictions": LOGITS, "targets": ONE_HOT}
OF_SOFT = {"predictions": LOGITS, "targets": SOFT}
FLAGS = {"logits": LOGITS[..., 0], "labels": MASKS.astype(np.int32)}
EMPTY_FLAGS = {"logits": LOGITS[..., 0], "labels": EMPTY.astype(np.int32)}

COUPLED = {"batched": False}  # which axes are pixels depends on the number of axes
CASES = [
    LossCase("dice_loss", OF_SOFT, {"reduction": "none"}, by=BOTH, ranges=UNIT, **COUPLED),
    LossCase("dice_loss", HARD, {"reduction": "none", "smooth": 0.5}, dice(1.0), **COUPLED),
    LossCase(
        "dice_loss", HARD, {"reduction": "none", "smooth": 1.0, "axis": (0, 1, 2)}, dice(2.0, images=False), **COUPLED
    ),
    LossCase("dice_loss", OF_SOFT, {}, by=BOTH, **COUPLED),
    LossCase("dice_loss", OF_SOFT, {"reduction": "sum", "ignore_background": True}, by=BOTH, **COUPLED),
    LossCase(
        "dice_loss",
        OF_SOFT,
        {"class_weights": np.asarray([1.0, 2.0, 0.5], np.float32), "alpha": 0.3, "beta": 0.8},
        by=BOTH,
        **COUPLED,
    ),
    LossCase(
        "dice_loss",
        {"predictions": PROBABILITIES, "targets": ONE_HOT},
        {"apply_softmax": False},
        **COUPLED,
    ),
    LossCase("multiclass_generalized_dice_loss", OF_SOFT, {}, by=BOTH, ranges=UNIT, **COUPLED),
    LossCase("multiclass_generalized_dice_loss", OF_SOFT, {"ignore_background": True}, by=BOTH, **COUPLED),
    LossCase("multiclass_generalized_dice_loss", HARD, {"smooth": 3.0}, **COUPLED),
    LossCase(
        "multiclass_generalized_dice_loss",
        {"predictions": LOGITS, "targets": WITHOUT_ONE},
        {},
        original="A class that the batch lacks has almost all of its weight.",
        **COUPLED,
    ),
    LossCase(
        "binary_dice_loss",
        {"predictions": LOGITS[..., 0], "targets": MASKS},
        {"smooth": 0.5},
        (Independent("pytorch_optimizer.DiceLoss", images(binary_dice)),),
        by=BOTH,
        ranges=UNIT,
        **COUPLED,
    ),
    LossCase("binary_dice_loss", {"predictions": LOGITS[..., 0], "targets": EMPTY}, {}, by=BOTH, **COUPLED),
    LossCase(
        "binary_dice_loss",
        {"predictions": PROBABILITIES[..., 0], "targets": MASKS},
        {"apply_sigmoid": False},
        original="It refuses probabilities, unless all are 1.",
        **COUPLED,
    ),
    LossCase(
        "tversky_loss",
        OF_SOFT,
        {"alpha": 0.3, "beta": 0.7, "gamma": 4 / 3, "activation": "sigmoid"},
        (FOCAL, FOCAL_INVERSE),
        by=BOTH,
        ranges=UNIT,
        **COUPLED,
    ),
    LossCase(
        "tversky_loss", HARD, {"alpha": 0.3, "beta": 0.7, "activation": "sigmoid"}, (TVERSKY,), by=BOTH, **COUPLED
    ),
    LossCase("tversky_loss", HARD, {"smooth": 0.5}, dice(1.0), **COUPLED),
    LossCase("jaccard_loss", HARD, {}, jaccard(1.0), by=BOTH[:1], **COUPLED),
    LossCase(
        "jaccard_loss",
        {"predictions": LOGITS, "targets": WITHOUT_ONE},
        {},
        jaccard(1.0, "Classes that no pixel has do not count there."),
        **COUPLED,
    ),
    LossCase("lovasz_hinge_loss", FLAGS, {}, (LOVASZ_HINGE,), **COUPLED),
    LossCase("lovasz_hinge_loss", EMPTY_FLAGS, {}, (LOVASZ_HINGE,), **COUPLED),
    LossCase("lovasz_softmax_loss", {"logits": LOGITS, "labels": CLASSES}, {}, where="labels", **COUPLED),
]
