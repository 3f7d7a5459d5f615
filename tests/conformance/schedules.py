"""The calls of schedules that are compared with PyTorch and with the original, and what differs on purpose."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

COUNTS = 130  # from 0; every schedule below has ended before, or never does

Scheduler: TypeAlias = Callable[[Any, Any], Any]
"""From the module `torch.optim.lr_scheduler` and an optimizer with lr=0.5 to a scheduler."""

PEAK = 0.5


def cosine_cycle(peak: float) -> dict[str, Any]:
    """The arguments of one of the cycles of `sgdr_schedule`."""
    return {"init_value": 0.1, "peak_value": peak, "warmup_steps": 10, "decay_steps": 40, "end_value": 0.1}


def evaluated(call: str, optax: Any) -> Any:
    """The schedule of a call, of either library."""
    return eval(call, {"optax": optax, "cosine_cycle": cosine_cycle})


def one_cycle(module: Any, optimizer: Any, **options: Any) -> Any:
    """PyTorch's last step is one before `total_steps`, and its peak one before `pct_start` of them."""
    return module.OneCycleLR(optimizer, PEAK, total_steps=101, pct_start=31 / 101, cycle_momentum=False, **options)


# Against PyTorch: its values after 0, 1, ... steps, as long as a schedule lasts there.
TORCH: Mapping[str, tuple[int, Scheduler]] = {
    "optax.constant_schedule(0.5)": (COUNTS, lambda m, o: m.LambdaLR(o, lambda _: 1)),
    "optax.piecewise_constant_schedule(0.5 / 3, {20: 3})": (COUNTS, lambda m, o: m.ConstantLR(o, 1 / 3, 20)),
    "optax.linear_schedule(0.5 / 3, 0.5, 100)": (COUNTS, lambda m, o: m.LinearLR(o, 1 / 3, 1.0, 100)),
    "optax.exponential_decay(0.5, 1, 0.95)": (COUNTS, lambda m, o: m.ExponentialLR(o, 0.95)),
    "optax.exponential_decay(0.5, 1, 0.999)": (1000, lambda m, o: m.MultiplicativeLR(o, lambda _: 0.999)),
    "optax.polynomial_schedule(0.5, 0.0, 2.5, 100)": (COUNTS, lambda m, o: m.PolynomialLR(o, 100, 2.5)),
    "optax.polynomial_schedule(0.5, 0.0, 1, 100)": (COUNTS, lambda m, o: m.PolynomialLR(o, 100)),
    "optax.cosine_decay_schedule(0.5, 100, alpha=0.1)": (101, lambda m, o: m.CosineAnnealingLR(o, 100, 0.05)),
    "optax.cosine_cycles_schedule(0, 0.5, 0, 20, 7, 0.05)": (
        COUNTS,
        lambda m, o: m.CosineAnnealingWarmRestarts(o, 20, eta_min=0.05),
    ),
    "optax.cosine_cycles_schedule(0, 0.5, 0, 10, 4, 0.05, cycle_growth=2)": (
        COUNTS,
        lambda m, o: m.CosineAnnealingWarmRestarts(o, 10, 2, 0.05),
    ),
    "optax.step_schedule(0.5, 30)": (COUNTS, lambda m, o: m.StepLR(o, 30)),
    "optax.step_schedule(0.5, 7, 0.9)": (COUNTS, lambda m, o: m.StepLR(o, 7, 0.9)),
    "optax.multi_step_schedule(0.5, [30, 80, 80, 100], 0.3)": (
        COUNTS,
        lambda m, o: m.MultiStepLR(o, [30, 80, 80, 100], 0.3),
    ),
    "optax.cyclic_schedule(0.1, 0.5, 20)": (COUNTS, lambda m, o: m.CyclicLR(o, 0.1, 0.5, 20, cycle_momentum=False)),
    "optax.cyclic_schedule(0.1, 0.5, 20, 7, cycle_decay=0.5)": (
        COUNTS,
        lambda m, o: m.CyclicLR(o, 0.1, 0.5, 20, 7, mode="triangular2", cycle_momentum=False),
    ),
    "optax.cyclic_schedule(0.1, 0.5, 20, step_decay=0.99)": (
        COUNTS,
        lambda m, o: m.CyclicLR(o, 0.1, 0.5, 20, mode="exp_range", gamma=0.99, cycle_momentum=False),
    ),
    "optax.cosine_onecycle_schedule(100, 0.5)": (101, one_cycle),
    "optax.linear_onecycle_schedule(100, 0.5, 0.3, 0.6)": (
        101,
        lambda m, o: one_cycle(m, o, anneal_strategy="linear", three_phase=True),
    ),
    "optax.join_schedules([optax.linear_schedule(0.05, 0.5, 30), optax.step_schedule(0.5, 40)], [30])": (
        COUNTS,
        lambda m, o: m.SequentialLR(o, [m.LinearLR(o, 0.1, 1.0, 30), m.StepLR(o, 40)], [30]),
    ),
    "optax.warmup(optax.exponential_decay(0.5, 1, 0.95), 30, 0.05)": (
        COUNTS,
        lambda m, o: m.SequentialLR(o, [m.LinearLR(o, 0.1, 1.0, 30), m.ExponentialLR(o, 0.95)], [30]),
    ),
    "optax.linear_schedule(0.25, 1.0, 30) * optax.exponential_decay(0.5, 1, 0.95)": (
        COUNTS,
        lambda m, o: m.ChainedScheduler([m.LinearLR(o, 0.25, 1.0, 30), m.ExponentialLR(o, 0.95)], o),
    ),
}

# Against the libraries beyond PyTorch's own, by the same rules: from pytorch_optimizer.
POOL: Mapping[str, tuple[int, Scheduler]] = {
    f"optax.warmup_stable_decay_schedule(0.0, 0.5, 20, 120, 50, 0.0, {shape!r})": (
        COUNTS,
        lambda m, o, shape=shape: m.get_wsd_schedule(o, 20, 50, 50, 0.0, cooldown_type=shape),
    )
    for shape in ("linear", "cosine", "1-sqrt")
}

# Against the original 0.2.8: why a call differs, or None.
SHORT = "every phase has one step at least"
ORIGINAL: Mapping[str, str | None] = {
    "optax.constant_schedule(0.5)": None,
    "optax.linear_schedule(0.1, 0.7, 60, 20)": None,
    "optax.polynomial_schedule(0.7, 0.1, 2.5, 60, 20)": None,
    "optax.polynomial_schedule(0.1, 0.7, 0.5, 60)": None,
    "optax.cosine_decay_schedule(0.5, 100, 0.1, 1.5)": None,
    "optax.exponential_decay(0.5, 20, 0.7)": None,
    "optax.exponential_decay(0.5, 20, 0.7, 15, True)": None,
    "optax.exponential_decay(0.5, 20, 0.7, 15, False, 0.2)": None,
    "optax.exponential_decay(0.5, 20, 1.7, 15, False, 2.0)": None,
    "optax.exponential_decay(0.5, 0, 0.7)": "ValueError: a decay of no steps has no value",
    "optax.exponential_decay(0.5, 20, 0)": "ValueError: the factor must be positive; the original takes 0 for 1",
    "optax.piecewise_constant_schedule(0.5)": None,
    "optax.piecewise_constant_schedule(0.5, {80: 0.1, 20: 2.0, 0: 0.5})": None,
    "optax.piecewise_interpolate_schedule('linear', 0.5, {80: 0.1, 20: 2.0})": None,
    "optax.piecewise_interpolate_schedule('cosine', 0.5, {80: 0.0, 20: 2.0})": None,
    "optax.piecewise_interpolate_schedule('linear', 0.5, {0: 2.0, 20: 2.0})": None,
    "optax.piecewise_interpolate_schedule('linear', 0.5)": None,
    "optax.linear_onecycle_schedule(100, 0.5)": None,
    "optax.linear_onecycle_schedule(99, 0.5, 0.29, 0.7, 10.0, 50.0)": None,
    "optax.linear_onecycle_schedule(4, 0.5, 0.3, 0.8)": None,
    "optax.linear_onecycle_schedule(3, 0.5, 0.3, 0.6)": SHORT,
    "optax.linear_onecycle_schedule(1, 0.5)": SHORT,
    "optax.linear_onecycle_schedule(100, 0.5, 0.0, 0.6)": None,
    "optax.cosine_onecycle_schedule(100, 0.5)": None,
    "optax.cosine_onecycle_schedule(99, 0.5, 0.29, 10.0, 50.0)": None,
    "optax.cosine_onecycle_schedule(2, 0.5)": SHORT,
    "optax.warmup_constant_schedule(0.1, 0.5, 30)": None,
    "optax.warmup_constant_schedule(0.1, 0.5, 0)": "a warm-up of no steps is over",
    "optax.warmup_cosine_decay_schedule(0.1, 0.5, 30, 110, 0.2, 1.5)": None,
    "optax.warmup_exponential_decay_schedule(0.1, 0.5, 30, 20, 0.7)": None,
    "optax.warmup_exponential_decay_schedule(0.1, 0.5, 30, 20, 0.7, 10, True, 0.2)": None,
    "optax.sgdr_schedule([cosine_cycle(0.5), cosine_cycle(0.4), cosine_cycle(0.3)])": None,
    "optax.join_schedules([optax.linear_schedule(0.1, 0.5, 30), optax.constant_schedule(0.2)], [50])": None,
}
