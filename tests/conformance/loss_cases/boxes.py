"""Losses between boxes: what they are compared with."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)


def boxes(corners, sizes):
    return np.concatenate([corners, corners + sizes], axis=-1).astype(np.float32)


CORNERS = rng.uniform(0, 1, size=(4, 2))
SIZES = rng.uniform(1, 3, size=(4, 2))
TARGETS = boxes(CORNERS, SIZES)
PAIR = {"predictions": boxes(rng.uniform(0, 1, size=(4, 2)), rng.uniform(1, 3, size=(4, 2))), "targets": TARGETS}
SAME_SHAPE = {
    "predictions": boxes(rng.uniform(0, 1, size=(4, 2)), SIZES * rng.uniform(0.8, 1.5, (4, 1))),
    "targets": TARGETS,
}
# Apart, one within the other, of pixels.
OTHERS = {
    "predictions": np.asarray([[0, 0, 1, 2], [1, 1, 2, 3], [100, 200, 340, 260]], np.float32),
    "targets": np.asarray([[3, 2.5, 5, 4], [0, 0, 4, 4.5], [120, 180, 300, 290]], np.float32),
}
BOTH = ("predictions", "targets")


def torch_iou(predictions, targets):
    import torchvision

    return 1 - torchvision.ops.box_iou(predictions, targets).diagonal()


def torch_giou(predictions, targets):
    import torchvision

    return torchvision.ops.generalized_box_iou_loss(predictions, targets)


def torch_diou(predictions, targets):
    import torchvision

    return torchvision.ops.distance_box_iou_loss(predictions, targets)


def torch_ciou(predictions, targets):
    import torchvision

    return torchvision.ops.complete_box_iou_loss(predictions, targets)


THEIRS = {
    "iou_loss": Independent("torchvision.ops.box_iou", torch_iou),
    "giou_loss": Independent("torchvision.ops.generalized_box_iou_loss", torch_giou),
    "diou_loss": Independent("torchvision.ops.distance_box_iou_loss", torch_diou),
    "ciou_loss": Independent("torchvision.ops.complete_box_iou_loss", torch_ciou),
}

# A weight of `ciou_loss` is not differentiated; finite differences agree where the sides of both boxes have one ratio.
FIRST = {"ciou_loss": SAME_SHAPE}

CASES = [
    LossCase(name, data, {}, (library,), by=BOTH, where="losses")
    for name, library in THEIRS.items()
    for data in (FIRST.get(name, PAIR), PAIR, OTHERS)
]
