"""Likelihoods: what they are compared with."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
MEANS = rng.normal(size=(3, 4)).astype(np.float32)
TARGETS = rng.normal(size=(3, 4)).astype(np.float32)
VARIANCES = rng.uniform(0.3, 3, size=(3, 4)).astype(np.float32)
COUNTS = np.asarray([[0, 1, 2, 3], [7, 0, 40, 1], [5, 2, 1, 0]], np.float32)
CONCENTRATION = np.asarray([[0.5, 1, 2, 30], [7, 0.1, 3, 1], [300, 2, 16, 4]], np.float32)
NORMAL = {"predictions": MEANS, "targets": TARGETS, "variances": VARIANCES}
POISSON = {"predictions": MEANS, "targets": COUNTS}
RATES = {"predictions": VARIANCES, "targets": COUNTS}
NEGATIVE_BINOMIAL = {"predictions": MEANS, "targets": COUNTS, "concentration": CONCENTRATION}
# Variances below eps, at it, and one of 0 at a target that is met.
NARROW = {
    "predictions": np.asarray([[1.0, 2.0], [0.5, 1.0]], np.float32),
    "targets": np.asarray([[1.0, 1.0], [1.5, 1.0]], np.float32),
    "variances": np.asarray([[0.0, 0.01], [0.1, 0.0]], np.float32),
}
VARIANCE = {"variances": (0.0, 50.0)}
COUNT = {"targets": (0.0, 50.0)}


def torch_gaussian(predictions, targets, variances):
    import torch

    return torch.nn.functional.gaussian_nll_loss(predictions, targets, variances, reduction="none")


def torch_gaussian_at_least(predictions, targets, variances):
    import torch

    return torch.nn.functional.gaussian_nll_loss(
        predictions, targets, variances, full=True, eps=0.1 + 1e-9, reduction="none"
    )


def scipy_norm(predictions, targets, variances):
    import scipy.stats

    return -scipy.stats.norm.logpdf(targets, predictions, np.sqrt(variances))


def torch_poisson(predictions, targets):
    import torch

    return torch.nn.functional.poisson_nll_loss(predictions, targets, reduction="none")


def torch_poisson_of_rates(predictions, targets):
    import torch

    return torch.nn.functional.poisson_nll_loss(predictions, targets, log_input=False, full=True, reduction="none")


def scipy_poisson(predictions, targets):
    import scipy.special
    import scipy.stats

    return -scipy.stats.poisson.logpmf(targets, np.exp(predictions)) - scipy.special.gammaln(targets + 1)


def scipy_exact_poisson(predictions, targets):
    import scipy.stats

    return -scipy.stats.poisson.logpmf(targets, np.exp(predictions))


def torch_negative_binomial(predictions, targets, concentration):
    import torch

    logits = predictions - torch.log(concentration)
    distribution = torch.distributions.NegativeBinomial(concentration, logits=logits, validate_args=False)
    return -distribution.log_prob(targets)


def torch_negative_binomial_without_constant(predictions, targets, concentration):
    import torch

    return torch_negative_binomial(predictions, targets, concentration) - torch.lgamma(targets + 1)


def scipy_nbinom(predictions, targets, concentration):
    import scipy.stats

    return -scipy.stats.nbinom.logpmf(targets, concentration, concentration / (concentration + np.exp(predictions)))


GAUSSIAN = Independent("torch.nn.functional.gaussian_nll_loss", torch_gaussian)
POISSON_NLL = Independent("torch.nn.functional.poisson_nll_loss", torch_poisson)
EXACT = Independent("scipy.stats.poisson", scipy_exact_poisson, "It has the exact log(targets!), not Stirling's.")

CASES = [
    LossCase("gaussian_nll_loss", NORMAL, {}, (GAUSSIAN,), by=("predictions", "targets", "variances"), ranges=VARIANCE),
    LossCase(
        "gaussian_nll_loss",
        NORMAL,
        {"full": True},
        (Independent("scipy.stats.norm", scipy_norm),),
        by=("predictions", "targets", "variances"),
        ranges=VARIANCE,
    ),
    LossCase(
        "gaussian_nll_loss",
        NARROW,
        {"full": True, "eps": 0.1},
        (Independent("torch.nn.functional.gaussian_nll_loss", torch_gaussian_at_least),),
        by=("predictions", "targets", "variances"),
        ranges=VARIANCE,
    ),
    LossCase(
        "poisson_nll_loss",
        POISSON,
        {},
        (POISSON_NLL, Independent("scipy.stats.poisson", scipy_poisson)),
        ranges=COUNT,
    ),
    LossCase("poisson_nll_loss", POISSON, {}, (POISSON_NLL,), by=("predictions", "targets"), ranges=COUNT),
    LossCase(
        "poisson_nll_loss",
        RATES,
        {"log_input": False, "full": True},
        (Independent("torch.nn.functional.poisson_nll_loss", torch_poisson_of_rates),),
        ranges=COUNT | {"predictions": (0.0, 50.0)},
    ),
    LossCase("poisson_nll_loss", POISSON, {"full": True}, (EXACT,), ranges=COUNT),
    LossCase(
        "negative_binomial_nll_loss",
        NEGATIVE_BINOMIAL,
        {},
        (Independent("torch.distributions.NegativeBinomial", torch_negative_binomial_without_constant),),
        by=("predictions", "targets", "concentration"),
        ranges=COUNT | {"concentration": (0.01, 1000.0)},
    ),
    LossCase(
        "negative_binomial_nll_loss",
        NEGATIVE_BINOMIAL,
        {"full": True},
        (
            Independent("torch.distributions.NegativeBinomial", torch_negative_binomial),
            Independent("scipy.stats.nbinom", scipy_nbinom),
        ),
        by=("predictions", "concentration"),
        ranges=COUNT | {"concentration": (0.01, 1000.0)},
    ),
]
