"""RMSProp: compared with the equations of Graves (2013) and with PyTorch."""

from typing import Any

from conformance.case import Case, Independent, Later, each_leaf
from reference.rmsprop import Momentum, RMSProp


def torch_rmsprop(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.RMSprop(parameters, 0.1, alpha=0.9, eps=1e-8)


def torch_centred(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.RMSprop(parameters, 0.1, alpha=0.8, eps=1e-3, centered=True)


OTHER = {"decay": 0.8, "eps": 1e-3, "initial_scale": 0.5, "eps_in_sqrt": False, "bias_correction": True}

CASES = [
    Case("scale_by_rms", {}, each_leaf(lambda: RMSProp(0.9, 1e-8))),
    Case("scale_by_rms", OTHER, each_leaf(lambda: RMSProp(0.8, 1e-3, 0.5, False, True))),
    Case("scale_by_rms", {"bias_correction": True}, each_leaf(lambda: RMSProp(0.9, 1e-8, corrected=True))),
    Case("scale_by_stddev", {}, each_leaf(lambda: RMSProp(0.9, 1e-8, centred=True))),
    # With a large initial value: the first corrected variance would else be the rounding error of 0.
    Case(
        "scale_by_stddev",
        OTHER | {"initial_scale": 1e4},
        each_leaf(lambda: RMSProp(0.8, 1e-3, 1e4, False, True, centred=True)),
    ),
    Case(
        "rmsprop",
        {"learning_rate": 0.1},
        each_leaf(lambda: RMSProp(0.9, 1e-8), 0.1),
        Independent(
            "torch.optim.RMSprop", torch_rmsprop, differs="It adds epsilon to the root, and not to the mean square."
        ),
    ),
    Case(
        "rmsprop",
        {"learning_rate": 0.1, "eps_in_sqrt": False},
        each_leaf(lambda: RMSProp(0.9, 1e-8, epsilon_inside=False), 0.1),
        Independent("torch.optim.RMSprop", torch_rmsprop),
    ),
    Case(
        "rmsprop",
        {"learning_rate": 0.1, "decay": 0.8, "eps": 1e-3, "eps_in_sqrt": False, "centered": True},
        each_leaf(lambda: RMSProp(0.8, 1e-3, epsilon_inside=False, centred=True), 0.1),
        Independent("torch.optim.RMSprop", torch_centred),
    ),
    Case(
        "rmsprop",
        {"learning_rate": 0.1, "momentum": 0.7} | OTHER,
        each_leaf(lambda: Momentum(RMSProp(0.8, 1e-3, 0.5, False, True), lambda t: 0.1, 0.7), 1.0),
    ),
    Case(
        "rmsprop",
        {
            "learning_rate": Later(lambda optax: optax.linear_schedule(0.1, 0.0, 50)),
            "centered": True,
            "momentum": 0.7,
            "nesterov": True,
        },
        each_leaf(lambda: Momentum(RMSProp(0.9, 1e-8, centred=True), lambda t: 0.1 * (1 - t / 50), 0.7, True), 1.0),
    ),
]
