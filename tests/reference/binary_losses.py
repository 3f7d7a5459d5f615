"""Losses of one logit each in NumPy, as their definitions read, for Python floats in float64."""

import math


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), of whatever size."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def minus_log_sigmoid(x: float) -> float:
    """- log(1 / (1 + exp(-x)))."""
    return max(-x, 0) + math.log1p(math.exp(-abs(x)))


def cross_entropy(x: float, y: float) -> float:
    """- y log p - (1 - y) log(1 - p)."""
    return y * minus_log_sigmoid(x) + (1 - y) * minus_log_sigmoid(-x)


def focal(x: float, y: float, alpha: float, gamma: float) -> float:
    """alpha_t (1 - p_t)^gamma times the cross entropy."""
    wrong = y * sigmoid(-x) + (1 - y) * sigmoid(x)
    return float((y * alpha + (1 - y) * (1 - alpha)) * wrong**gamma * cross_entropy(x, y))


def asymmetric(x: float, y: float, gamma_positive: float, gamma_negative: float, clip: float) -> float:
    """- y (1 - p)^gamma_positive log p - (1 - y) q^gamma_negative log(1 - q), q = max(p - clip, 0)."""
    positive = sigmoid(-x) ** gamma_positive * minus_log_sigmoid(x)
    q = max(sigmoid(x) - clip, 0)
    minus_log = minus_log_sigmoid(-x) if clip == 0 else -math.log(1 - q)
    return float(y * positive + (1 - y) * q**gamma_negative * minus_log)


def sparsemax(x: float, y: float) -> float:
    """max_p (x p + p (1 - p)) - x y - y (1 - y) over p in [0, 1]; -p (1 - p) is half of |(p, 1 - p)|^2 - 1."""
    p = min(max((x + 1) / 2, 0), 1)
    return (x * p + p * (1 - p)) - x * y - y * (1 - y)
