"""The rules of `torch.optim.lr_scheduler.ReduceLROnPlateau`, as its documentation states them, in plain Python."""

import math


class ReduceOnPlateau:
    """Takes one metric after another and returns the factor of the learning rate."""

    def __init__(self, factor: float, patience: int, cooldown: int, min_scale: float, rel: float, absolute: float):
        self.factor, self.patience, self.cooldown, self.min_scale = factor, patience, cooldown, min_scale
        self.rel, self.absolute = rel, absolute
        self.scale = 1.0
        self.best = math.inf
        self.bad = 0
        self.cooling = 0

    def __call__(self, metric: float) -> float:
        if self.is_better(metric):
            self.best = metric
            self.bad = 0
        else:
            self.bad += 1
        if self.cooling:
            self.cooling -= 1
            self.bad = 0
        if self.bad > self.patience:
            self.scale = max(self.scale * self.factor, self.min_scale)
            self.cooling = self.cooldown
            self.bad = 0
        return self.scale

    def is_better(self, metric: float) -> bool:
        if self.best == math.inf:
            return metric < math.inf
        # PyTorch writes best * (1 - rel), which asks a negative metric to grow; and it has no `absolute` beside `rel`.
        return metric < self.best - self.rel * abs(self.best) - self.absolute
