"""Schedules against those of PyTorch and of pytorch_optimizer, over their whole length."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import pytorch_optimizer
import torch

import optax
from conformance import schedules
from x64 import enable_x64

CALLS = [(torch.optim.lr_scheduler, call) for call in schedules.TORCH] + [
    (pytorch_optimizer, call) for call in schedules.POOL
]


def values_of(module: Any, steps: int, scheduler: schedules.Scheduler) -> list[float]:
    """The learning rate before every step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=schedules.PEAK)
    made = scheduler(module, optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        made.step()
    return rates


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step()`:UserWarning")  # SequentialLR's own
@pytest.mark.parametrize(("module", "call"), CALLS, ids=[call for _, call in CALLS])
def test_values_are_those_of_the_independent_library(module: Any, call: str) -> None:
    table: Mapping[str, Any] = {**schedules.TORCH, **schedules.POOL}
    steps, scheduler = table[call]
    theirs = np.array(values_of(module, steps, scheduler))
    largest = np.abs(theirs).max()
    with enable_x64():
        np.testing.assert_allclose(schedules.evaluated(call, optax)(np.arange(steps)), theirs, 1e-9, 1e-12 * largest)
    np.testing.assert_allclose(schedules.evaluated(call, optax)(np.arange(steps)), theirs, 0, 1e-6 * largest)


def test_every_scheduler_of_pytorch_is_compared() -> None:
    """But those that follow a metric, which `optax.contrib.reduce_on_plateau` does, and base classes."""
    made = {
        type(part).__name__
        for steps, scheduler in schedules.TORCH.values()
        for optimizer in [torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=schedules.PEAK)]
        for part in [scheduler(torch.optim.lr_scheduler, optimizer)]
    }
    assert set(torch.optim.lr_scheduler.__all__) - {"LRScheduler", "ReduceLROnPlateau"} <= made
