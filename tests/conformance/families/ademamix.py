"""AdEMAMix and its simplified form: compared with Pagliardini et al. (2024) and with pytorch_optimizer."""

from typing import Any

from conformance.case import Array, Case, Independent, Later, each_leaf, each_leaf_with_params
from reference.ademamix import AdEMAMix, SimplifiedAdEMAMix
from reference.decay import with_decay


def matrices(params: Any) -> Any:
    return {name: name == "matrix" for name in params}


def decay_matrices(x0: Array) -> float:
    return 0.3 if x0.ndim == 2 else 0.0


def line(t: int) -> float:
    return 0.1 * (1 - t / 50)


LINE = Later(lambda optax: optax.linear_schedule(0.1, 0.0, 50))


def growing(t: int) -> float:
    return 4.0 * t / 50


GROWING = Later(lambda optax: optax.linear_schedule(0.0, 4.0, 50))


def lengthening(t: int) -> float:
    return 0.9 + 0.09 * t / 50


LENGTHENING = Later(lambda optax: optax.linear_schedule(0.9, 0.99, 50))


def po_ademamix(**settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import pytorch_optimizer

        return pytorch_optimizer.AdEMAMix(parameters, **settings)

    return Independent("pytorch_optimizer.AdEMAMix", make)


def po_simplified(parameters: list[Any]) -> Any:
    import pytorch_optimizer

    return pytorch_optimizer.SimplifiedAdEMAMix(parameters, 0.1, (0.9, 0.95), alpha=2.0)


CASES = [
    Case("scale_by_ademamix", {}, each_leaf(lambda: AdEMAMix(0.9, 0.999, 0.9999, 6.0, 1e-8))),
    Case(
        "scale_by_ademamix",
        {"b1": 0.8, "b2": 0.9, "b3": 0.95, "alpha": 3.0, "eps": 1e-3, "eps_root": 1e-4, "mu_dtype": None},
        each_leaf(lambda: AdEMAMix(0.8, 0.9, 0.95, 3.0, 1e-3, 1e-4)),
    ),
    Case(
        "scale_by_ademamix",
        {"b3": LENGTHENING, "alpha": GROWING},
        each_leaf(lambda: AdEMAMix(0.9, 0.999, lengthening, growing, 1e-8)),
    ),
    Case(
        "ademamix",
        {"learning_rate": 0.1},
        each_leaf(lambda: AdEMAMix(0.9, 0.999, 0.9999, 5.0, 1e-8), 0.1),
        po_ademamix(lr=0.1),
    ),
    Case(
        "ademamix",
        {"learning_rate": 0.2, "b1": 0.8, "b2": 0.9, "b3": 0.95, "alpha": 3.0, "eps": 1e-3},
        each_leaf(lambda: AdEMAMix(0.8, 0.9, 0.95, 3.0, 1e-3), 0.2),
        po_ademamix(lr=0.2, betas=(0.8, 0.9, 0.95), alpha=3.0, eps=1e-3),
    ),
    Case(
        "ademamix",
        {"learning_rate": LINE, "alpha": GROWING, "eps_root": 1e-4, "weight_decay": 0.3, "mask": matrices},
        each_leaf_with_params(
            with_decay(lambda: AdEMAMix(0.9, 0.999, 0.9999, growing, 1e-8, 1e-4), decay_matrices), line
        ),
    ),
    Case("scale_by_simplified_ademamix", {}, each_leaf(lambda: SimplifiedAdEMAMix(0.99, 0.95, 0.0, 1e-8))),
    Case(
        "scale_by_simplified_ademamix",
        {"b1": 0.9, "b2": 0.8, "alpha": 3.0, "eps": 1e-3, "eps_root": 1e-4},
        each_leaf(lambda: SimplifiedAdEMAMix(0.9, 0.8, 3.0, 1e-3, 1e-4)),
    ),
    Case(
        "simplified_ademamix", {"learning_rate": 0.1}, each_leaf(lambda: SimplifiedAdEMAMix(0.99, 0.95, 0, 1e-8), 0.1)
    ),
    Case(
        "simplified_ademamix",
        {"learning_rate": 0.1, "b1": 0.9, "alpha": 2.0},
        each_leaf(lambda: SimplifiedAdEMAMix(0.9, 0.95, 2.0, 1e-8), 0.1),
        Independent(
            "pytorch_optimizer.SimplifiedAdEMAMix",
            po_simplified,
            "its m is a mean, and it multiplies the root of n by that of the bias correction where we divide",
        ),
    ),
    Case(
        "simplified_ademamix",
        {
            "learning_rate": LINE,
            "b1": 0.9,
            "b2": 0.8,
            "alpha": 3.0,
            "eps": 1e-3,
            "eps_root": 1e-4,
            "weight_decay": 0.3,
            "mask": matrices,
        },
        each_leaf_with_params(with_decay(lambda: SimplifiedAdEMAMix(0.9, 0.8, 3.0, 1e-3, 1e-4), decay_matrices), line),
    ),
]
