"""Losses of preferences: compared with the log-sigmoids and squares of torch, put together as the papers have them."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
NAMES = ("policy_chosen_logps", "policy_rejected_logps", "reference_chosen_logps", "reference_rejected_logps")
PAIRS = {name: rng.normal(-40, 8, size=(4, 3)).astype(np.float32) for name in NAMES}
SINGLE = {
    "policy_logps": rng.normal(-40, 8, size=(4, 3)).astype(np.float32),
    "reference_logps": rng.normal(-40, 8, size=(4, 3)).astype(np.float32),
    "labels": rng.random((4, 3)) < 0.5,
    "kl": rng.normal(1, 3, size=(4, 3)).astype(np.float32),
}
MOVING = ("policy_logps", "reference_logps")


def ratios(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    return policy_chosen_logps - policy_rejected_logps - (reference_chosen_logps - reference_rejected_logps)


def torch_dpo(beta, smoothing):
    def loss(**logps):
        import torch

        z = beta * ratios(**logps)
        wrong = torch.full_like(z, smoothing)
        return torch.nn.functional.binary_cross_entropy_with_logits(z, 1 - wrong, reduction="none")

    return (Independent("torch.nn.functional.binary_cross_entropy_with_logits", loss),)


def torch_ipo(beta):
    def loss(**logps):
        import torch

        h = ratios(**logps)
        return torch.nn.functional.mse_loss(h, torch.full_like(h, 1 / (2 * beta)), reduction="none")

    return (Independent("torch.nn.functional.mse_loss", loss),)


def torch_kto(beta, desirable, undesirable):
    def loss(policy_logps, reference_logps, labels, kl):
        import torch

        gain = beta * (policy_logps - reference_logps - kl.clamp(min=0))
        value = torch.sigmoid(torch.where(labels, gain, -gain))
        return torch.where(labels, desirable, undesirable) * (1 - value)

    return (Independent("torch.sigmoid", loss),)


CASES = [
    LossCase("dpo_loss", PAIRS, {}, torch_dpo(0.1, 0.0), by=NAMES),
    LossCase("dpo_loss", PAIRS, {"beta": 0.5, "label_smoothing": 0.2}, torch_dpo(0.5, 0.2), by=NAMES),
    LossCase("ipo_loss", PAIRS, {}, torch_ipo(0.1), by=NAMES),
    LossCase("ipo_loss", PAIRS, {"beta": 2.0}, torch_ipo(2.0), by=NAMES),
    LossCase("kto_loss", SINGLE, {}, torch_kto(0.1, 1.0, 1.0), by=MOVING),
    LossCase(
        "kto_loss",
        SINGLE,
        {"beta": 0.5, "desirable_weight": 2.0, "undesirable_weight": 0.5},
        torch_kto(0.5, 2.0, 0.5),
        by=MOVING,
    ),
]
