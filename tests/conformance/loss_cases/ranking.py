"""Losses of lists: compared with rax, list by list, and of pairs of scores: with torch."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
SCORES = rng.normal(size=(3, 5)).astype(np.float32) * 2
RELEVANCE = np.asarray([[0, 3, 1, 2, 0], [1, 0, 0, 4, 2], [2, 2, 0, 1, 1]], np.float32)
DISTINCT = np.asarray([[0, 3, 1, 2, 4], [1, 0, 5, 4, 2], [2, 3, 0, 1, 4]], np.float32)
NOTHING = np.zeros_like(RELEVANCE)
MASK = np.asarray([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]], bool)
RELEVANT = MASK | [[False], [True], [False]]  # in each list; elsewhere rax has the gain 0, and here the loss is 0
WEIGHTS = rng.uniform(0.5, 2.0, size=(3, 5)).astype(np.float32)
LISTS = {"scores": SCORES, "labels": RELEVANCE}


def rax_loss(name, **options):
    """A loss of rax for each list alone: its reduction runs over the pairs of all lists."""

    def loss(scores, labels):
        import jax
        import rax

        given = {key: value for key, value in options.items() if value is not None}
        if "where" not in given:
            return jax.vmap(lambda s, y: getattr(rax, name)(s, y, **given))(scores, labels)
        mask = given.pop("where")
        return jax.vmap(lambda s, y, m: getattr(rax, name)(s, y, where=m, **given))(scores, labels, mask)

    return (Independent(f"rax.{name}", loss),)


def rax_softmax(**options):
    def loss(logits, labels):
        import rax

        return rax.softmax_loss(logits, labels, **options)

    return (Independent("rax.softmax_loss", loss),)


def rax_ndcg(temperature=1.0, where=None):
    """rax.approx_t12n needs a JAX before 0.9; it hands the ranks used here to the metric used here."""

    def loss(scores, labels):
        import jax
        import rax

        with jax.numpy_dtype_promotion("standard"):  # it multiplies numbers by integers
            ranks = rax.utils.approx_ranks
            return 1 - rax.ndcg_metric(scores / temperature, labels, where=where, rank_fn=ranks, reduce_fn=None)

    return (Independent("rax.ndcg_metric", loss),)


def torch_margin(margin):
    def loss(scores, other_scores, targets):
        import torch

        return torch.nn.functional.margin_ranking_loss(scores, other_scores, targets, margin=margin, reduction="none")

    return (Independent("torch.nn.functional.margin_ranking_loss", loss),)


COMPARED = {
    "scores": SCORES,
    "other_scores": rng.normal(size=SCORES.shape).astype(np.float32),
    "targets": np.where(rng.random(SCORES.shape) < 0.5, 1, -1).astype(np.float32),
}
SOFTMAX = {"logits": SCORES, "labels": RELEVANCE}
WITHOUT_CLASS = np.where(RELEVANCE == 0, -np.inf, SCORES).astype(np.float32)

CASES = [
    LossCase(
        "ranking_softmax_loss", SOFTMAX, {}, rax_softmax(), by=("logits", "labels"), ranges={"labels": (0.0, 4.0)}
    ),
    LossCase(
        "ranking_softmax_loss", SOFTMAX, {"reduce_fn": None}, rax_softmax(reduce_fn=None), by=("logits", "labels")
    ),
    LossCase("ranking_softmax_loss", SOFTMAX, {"where": MASK}, rax_softmax(where=MASK)),
    LossCase(
        "ranking_softmax_loss",
        SOFTMAX,
        {"where": MASK, "weights": WEIGHTS, "reduce_fn": None},
        rax_softmax(where=MASK, weights=WEIGHTS, reduce_fn=None),
    ),
    LossCase(
        "ranking_softmax_loss",
        {"logits": WITHOUT_CLASS, "labels": RELEVANCE},
        original="a score of -inf with relevance 0 makes the loss NaN",
    ),
    LossCase("margin_ranking_loss", COMPARED, {"margin": 0.5}, torch_margin(0.5), by=("scores", "other_scores")),
    LossCase("margin_ranking_loss", COMPARED, {}, torch_margin(0.0), by=("scores", "other_scores")),
    LossCase("pairwise_logistic_loss", LISTS, {}, rax_loss("pairwise_logistic_loss")),
    LossCase("pairwise_logistic_loss", LISTS, {"where": MASK}, rax_loss("pairwise_logistic_loss", where=MASK)),
    LossCase("pairwise_logistic_loss", LISTS | {"labels": NOTHING}, {}, rax_loss("pairwise_logistic_loss")),
    LossCase("pairwise_hinge_loss", LISTS, {}, rax_loss("pairwise_hinge_loss")),
    LossCase("pairwise_hinge_loss", LISTS, {"where": MASK}, rax_loss("pairwise_hinge_loss", where=MASK)),
    LossCase("listmle_loss", LISTS | {"labels": DISTINCT}, {}, rax_loss("listmle_loss")),
    LossCase("listmle_loss", LISTS, {}, rax_loss("listmle_loss")),
    LossCase("listmle_loss", LISTS | {"labels": DISTINCT}, {"where": MASK}, rax_loss("listmle_loss", where=MASK)),
    LossCase("approx_ndcg_loss", LISTS, {}, rax_ndcg()),
    LossCase("approx_ndcg_loss", LISTS, {"temperature": 0.3}, rax_ndcg(0.3)),
    LossCase("approx_ndcg_loss", LISTS, {"where": RELEVANT}, rax_ndcg(where=RELEVANT)),
]
