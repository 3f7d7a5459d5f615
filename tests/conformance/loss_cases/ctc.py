"""CTC: compared with torch, whose log-probabilities lead with time, and which counts frames and labels."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(3, 6, 5)).astype(np.float32)
FRAMES, LABELS, ABSENT = (
    np.zeros((3, 6), np.int32),
    np.array([[1, 2, 3], [4, 1, 4], [3, 1, 2]]),
    np.zeros((3, 3), np.int32),
)
ALL = {"logits": LOGITS, "logit_paddings": FRAMES, "labels": LABELS, "label_paddings": ABSENT}
REPEATED = ALL | {"labels": np.array([[1, 1, 2], [3, 3, 3], [2, 4, 4]])}
PADDED = REPEATED | {
    "logit_paddings": np.array([[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]], np.int32),
    "label_paddings": np.array([[0, 0, 1], [0, 0, 0], [1, 1, 1]], np.int32),
}
IMPOSSIBLE = ALL | {"logits": np.where(np.arange(5) == 0, -np.inf, LOGITS).astype(np.float32)}
TOO_LONG = PADDED | {"logit_paddings": np.array([[0, 0, 1, 1, 1, 1]] * 3, np.int32)}
CERTAIN = ALL | {
    "logits": 8 * np.eye(5, dtype=np.float32)[[[1, 2, 2, 0, 3, 0], [4, 0, 1, 1, 4, 4], [0, 3, 1, 0, 2, 2]]]
}


ROWS = {"batched": False}  # sequences come in batches: no row of a batch is an argument


def torch_ctc(blank_id=0, log_epsilon=None):
    def loss(logits, logit_paddings, labels, label_paddings):
        import torch

        return torch.nn.functional.ctc_loss(
            logits.log_softmax(-1).transpose(0, 1),
            labels,
            (1 - logit_paddings).sum(1),
            (1 - label_paddings).sum(1),
            blank=blank_id,
            reduction="none",
            zero_infinity=log_epsilon == 0,
        )

    return (Independent("torch.nn.functional.ctc_loss", loss),)


CASES = [
    LossCase("ctc_loss", ALL, {}, torch_ctc(), **ROWS),
    LossCase("ctc_loss", REPEATED, {}, torch_ctc(), **ROWS),
    LossCase("ctc_loss", PADDED, {}, torch_ctc(), **ROWS),
    LossCase("ctc_loss", CERTAIN, {}, torch_ctc(), **ROWS),
    LossCase("ctc_loss", ALL | {"labels": LABELS - 1}, {"blank_id": 4}, torch_ctc(blank_id=4), **ROWS),
    LossCase(
        "ctc_loss",
        IMPOSSIBLE,
        {},
        (
            Independent(
                "torch.nn.functional.ctc_loss",
                torch_ctc()[0].function,
                differs="the gradient of its log_softmax is NaN in rows that hold -inf",
            ),
        ),
        original="a logit of -inf makes the loss and the gradient NaN",
        **ROWS,
    ),
    LossCase(
        "ctc_loss",
        TOO_LONG,
        {"log_epsilon": 0.0},
        torch_ctc(log_epsilon=0.0),
        original="log_epsilon is added in each step, so that labels that do not fit have another loss, and a gradient",
        **ROWS,
    ),
]
