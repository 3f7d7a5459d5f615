"""NovoGrad: compared with algorithm 1 of Ginsburg et al. (2019) and with pytorch_optimizer."""

from typing import Any

from conformance.case import Case, Independent, Later, each_leaf_with_params
from reference.novograd import NovoGrad


def other_novograd(parameters: list[Any]) -> Any:
    import pytorch_optimizer

    return pytorch_optimizer.NovoGrad(parameters, 0.1, betas=(0.9, 0.25), eps=1e-6)


CASES = [
    Case("scale_by_novograd", {}, each_leaf_with_params(lambda x0: NovoGrad(0.9, 0.25, 1e-8))),
    Case(
        "scale_by_novograd",
        {"b1": 0.8, "b2": 0.5, "eps": 1e-3, "eps_root": 1e-2, "weight_decay": 0.1, "mu_dtype": "float64"},
        each_leaf_with_params(lambda x0: NovoGrad(0.8, 0.5, 1e-3, 1e-2, 0.1)),
    ),
    Case(
        "novograd",
        {"learning_rate": 0.1},
        each_leaf_with_params(lambda x0: NovoGrad(0.9, 0.25, 1e-6), 0.1),
        Independent("pytorch_optimizer.NovoGrad", other_novograd),
    ),
    Case(
        "novograd",
        {
            "learning_rate": Later(lambda optax: optax.linear_schedule(0.1, 0.0, 50)),
            "b1": 0.8,
            "b2": 0.5,
            "eps": 1e-3,
            "eps_root": 1e-2,
            "weight_decay": 0.1,
        },
        each_leaf_with_params(lambda x0: NovoGrad(0.8, 0.5, 1e-3, 1e-2, 0.1), lambda t: 0.1 * (1 - t / 50)),
    ),
]
