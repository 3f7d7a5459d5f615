"""GaLore: NumPy and pytorch_optimizer."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.case import Case, Independent, Later, each_leaf_with_params
from reference.adam import Adam
from reference.galore import GaLore
from reference.sgd import Momentum

Array = NDArray[np.float64]

MOMENTUM = Later(lambda optax: optax.trace(0.9))


def transposed(optax: Any) -> Any:
    """Dimension numbers of the tree of all cases."""
    kind = getattr(optax, "GaLoreDimensionNumbers", None) or optax.contrib.GaLoreDimensionNumbers
    return lambda params: {name: kind(1, 0) if name == "matrix" else None for name in params}


def galore(
    rate: float | None,
    rank: int,
    gap: int,
    scale: float = 1.0,
    base: Callable[[], Any] | None = None,
    decay: float = 0.0,
) -> Any:
    """GaLore for the matrix, the base optimizer alone for the rest."""

    def make(x0: Array) -> Any:
        rule = Adam(0.9, 0.999, 1e-8) if base is None else base()
        rule = GaLore(rule, rank, gap, scale) if x0.ndim == 2 else rule
        return lambda x, g: rule(g) + decay * x

    return each_leaf_with_params(make, rate)


def po_galore(parameters: list[Any]) -> Any:
    import pytorch_optimizer

    # "std" projects on the shorter side.
    projection = {"rank": 2, "update_proj_gap": 100, "scale": 0.5, "projection_type": "reverse_std"}
    groups = [{"params": parameters[:1], **projection}, {"params": parameters[1:]}]
    return pytorch_optimizer.GaLore(groups, lr=0.1, eps=1e-8)


WITHOUT_NONE = ("matrix", "scalar", "vector")  # at which the original fails (defect D8)

SINGLE = "its singular vectors are computed in float32"

CASES = [
    Case("scale_by_galore", {}, galore(None, 128, 200), original_leaves=WITHOUT_NONE),
    Case(
        "scale_by_galore",
        {"rank": 2, "update_proj_gap": 7, "scale": 0.5, "base_optimizer": MOMENTUM},
        galore(None, 2, 7, 0.5, lambda: Momentum(0.9)),
        original_leaves=WITHOUT_NONE,
    ),
    Case(
        "scale_by_galore",
        {"rank": 1, "update_proj_gap": 200, "weight_dimension_numbers": Later(transposed)},
        galore(None, 1, 200),
        original_leaves=WITHOUT_NONE,
    ),
    Case(
        "galore",
        {"learning_rate": 0.1, "rank": 2, "update_proj_gap": 100, "scale": 0.5},
        galore(0.1, 2, 100, 0.5),
        Independent("pytorch_optimizer.GaLore", po_galore, SINGLE),
        original_leaves=WITHOUT_NONE,
    ),
    Case(
        "galore",
        {
            "learning_rate": 0.1,
            "rank": 2,
            "update_proj_gap": 3,
            "scale": 0.5,
            "base_optimizer": MOMENTUM,
            "weight_decay": 0.1,
            "mask": None,
        },
        galore(0.1, 2, 3, 0.5, lambda: Momentum(0.9), 0.1),
        original_leaves=WITHOUT_NONE,
    ),
]
