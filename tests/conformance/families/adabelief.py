"""AdaBelief and ACProp: compared with their papers (Zhuang et al. 2020 and 2021) and with pytorch_optimizer."""

from typing import Any

from conformance.case import Array, Case, Independent, each_leaf, each_leaf_with_params
from reference.adabelief import ACProp, AdaBelief
from reference.decay import with_decay


def matrices(params: Any) -> Any:
    return {name: name == "matrix" for name in params}


def decay_matrices(x0: Array) -> float:
    return 0.3 if x0.ndim == 2 else 0.0


def torch_adabelief(parameters: list[Any]) -> Any:
    import pytorch_optimizer

    return pytorch_optimizer.AdaBelief(parameters, 0.1)


def torch_other_adabelief(parameters: list[Any]) -> Any:
    import pytorch_optimizer

    return pytorch_optimizer.AdaBelief(parameters, 0.2, (0.8, 0.95), weight_decay=0.3, eps=1e-3)


NO_DECAY = "adabelief of 0.2.8 has no weight decay."
OTHER = {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 1e-2}

CASES = [
    Case("scale_by_belief", {}, each_leaf(lambda: AdaBelief(0.9, 0.999, 1e-16, 1e-16))),
    Case("scale_by_belief", OTHER, each_leaf(lambda: AdaBelief(0.8, 0.95, 1e-3, 1e-2))),
    Case("scale_by_belief", {"nesterov": True}, each_leaf(lambda: AdaBelief(0.9, 0.999, 1e-16, 1e-16, nesterov=True))),
    Case(
        "adabelief",
        {"learning_rate": 0.1},
        each_leaf(lambda: AdaBelief(0.9, 0.999, 1e-16, 1e-16), 0.1),
        Independent("pytorch_optimizer.AdaBelief", torch_adabelief),
    ),
    Case(
        "adabelief",
        {"learning_rate": 0.2, "b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 1e-3, "weight_decay": 0.3},
        each_leaf_with_params(with_decay(lambda: AdaBelief(0.8, 0.95, 1e-3, 1e-3), 0.3), 0.2),
        Independent("pytorch_optimizer.AdaBelief", torch_other_adabelief),
        original=NO_DECAY,
    ),
    Case(
        "adabelief",
        {"learning_rate": 0.2, "weight_decay": 0.3, "weight_decay_mask": matrices, "nesterov": True} | OTHER,
        each_leaf_with_params(with_decay(lambda: AdaBelief(0.8, 0.95, 1e-3, 1e-2, nesterov=True), decay_matrices), 0.2),
        original=NO_DECAY,
    ),
    Case("scale_by_acprop", {}, each_leaf(lambda: ACProp(0.9, 0.999, 1e-16, 1e-16))),
    Case("scale_by_acprop", OTHER, each_leaf(lambda: ACProp(0.8, 0.95, 1e-3, 1e-2))),
    Case(
        "acprop",
        {"learning_rate": 0.1},
        each_leaf(lambda: ACProp(0.9, 0.999, 1e-16, 1e-16), 0.1),
    ),
    Case(
        "acprop",
        {"learning_rate": 0.2, "weight_decay": 0.3, "mask": matrices} | OTHER | {"b1": 0.3},
        each_leaf_with_params(with_decay(lambda: ACProp(0.3, 0.95, 1e-3, 1e-2), decay_matrices), 0.2),
    ),
]
