"""Losses of pairs within a batch: compared with the cross entropies of torch, given cosines by its own functions.

torch has no such loss; what is compared there is the choice of the pairs, the normalisation and the gradients.
"""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
X, Y, OTHERS = (rng.normal(size=(n, 4)).astype(np.float32) for n in (6, 6, 3))
CLASSES = np.asarray([0, 1, 0, 1, 0, 1], np.int32)
PAIRED = np.asarray([0, 0, 1, 1, 2, 2], np.int32)
LONELY = np.asarray([0, 1, 0, 0, 2, 3], np.int32)
MATCHED = {"image_embeddings": X, "text_embeddings": Y}


def cosines(x, y):
    import torch

    return torch.nn.functional.cosine_similarity(x[:, None], y[None], dim=-1)


def torch_ntxent(embeddings, labels, temperature=0.07):
    """One row of logits for each positive pair: the pair, and the negatives of its anchor."""
    import torch

    s, losses = cosines(embeddings, embeddings) / temperature, []
    for i, label in enumerate(labels):
        for j in (labels == label).nonzero()[:, 0]:
            if i != j:
                row = torch.cat([s[i, j][None], s[i][labels != label]])
                losses.append(torch.nn.functional.cross_entropy(row[None], torch.tensor([0])))
    return torch.stack(losses).mean()


def torch_supervised(embeddings, labels, temperature=0.07):
    """Cross entropy with probabilities for labels: equal ones for the others of the class."""
    import torch

    s = cosines(embeddings, embeddings) / temperature
    s = s.masked_fill(torch.eye(len(s), dtype=torch.bool), -1e9)
    positive = (labels[:, None] == labels[None]).double() - torch.eye(len(s))
    return torch.nn.functional.cross_entropy(s, positive / positive.sum(1, keepdim=True).clamp(min=1), reduction="none")


def torch_info_nce(queries, keys, temperature=0.07):
    import torch

    s = cosines(queries, keys) / temperature
    return torch.nn.functional.cross_entropy(s, torch.arange(len(s)), reduction="none")


def torch_info_nce_with_negatives(queries, keys):
    import torch

    own = torch.nn.functional.cosine_similarity(queries, keys)[:, None]
    s = torch.cat([own, cosines(queries, torch.tensor(OTHERS).double())], 1) / 0.5
    return torch.nn.functional.cross_entropy(s, torch.zeros(len(s), dtype=torch.int64), reduction="none")


def torch_clip(image_embeddings, text_embeddings):
    by_image = torch_info_nce(image_embeddings, text_embeddings)
    return (by_image + torch_info_nce(text_embeddings, image_embeddings)) / 2


def torch_siglip(image_embeddings, text_embeddings, temperature=0.1, bias=-10.0):
    import torch

    z = cosines(image_embeddings, text_embeddings) / temperature + bias
    target = torch.eye(len(z), dtype=z.dtype)
    return torch.nn.functional.binary_cross_entropy_with_logits(z, target, reduction="none").sum(1)


def with_settings(function, **settings):
    return lambda **arguments: function(**arguments, **settings)


CROSS_ENTROPY, BINARY = "torch.nn.functional.cross_entropy", "torch.nn.functional.binary_cross_entropy_with_logits"

CASES = [
    LossCase(
        "ntxent",
        {"embeddings": X, "labels": CLASSES},
        {},
        (Independent(CROSS_ENTROPY, torch_ntxent),),
        batched=False,
        where="labels",
    ),
    LossCase(
        "ntxent",
        {"embeddings": 1e3 * X, "labels": PAIRED},
        {"temperature": 0.5},
        (Independent(CROSS_ENTROPY, with_settings(torch_ntxent, temperature=0.5)),),
        batched=False,
        where="labels",
    ),
    LossCase(
        "ntxent",
        {"embeddings": X, "labels": LONELY},
        {"temperature": 1.0},
        (Independent(CROSS_ENTROPY, with_settings(torch_ntxent, temperature=1.0)),),
        batched=False,
        where="labels",
    ),
    LossCase(
        "ntxent",
        {"embeddings": X, "labels": np.arange(6, dtype=np.int32)},
        batched=False,
        where="labels",
        original="without positive pairs it is NaN",
    ),
    LossCase(
        "supervised_contrastive_loss",
        {"embeddings": X, "labels": CLASSES},
        {},
        (Independent(CROSS_ENTROPY, torch_supervised),),
        batched=False,
        where="labels",
    ),
    LossCase(
        "supervised_contrastive_loss",
        {"embeddings": X, "labels": LONELY},
        {"temperature": 0.5},
        (Independent(CROSS_ENTROPY, with_settings(torch_supervised, temperature=0.5)),),
        batched=False,
        where="labels",
    ),
    LossCase(
        "info_nce_loss",
        {"queries": X, "keys": Y},
        {},
        (Independent(CROSS_ENTROPY, torch_info_nce),),
        by=("queries", "keys"),
        batched=False,
        where="losses",
    ),
    LossCase(
        "info_nce_loss",
        {"queries": X, "keys": Y},
        {"temperature": 0.5, "negatives": OTHERS},
        (Independent(CROSS_ENTROPY, torch_info_nce_with_negatives),),
        by=("queries", "keys"),
        batched=False,
        where="losses",
    ),
    LossCase(
        "clip_loss",
        MATCHED,
        {},
        (Independent(CROSS_ENTROPY, torch_clip),),
        by=tuple(MATCHED),
        batched=False,
        where="losses",
    ),
    LossCase(
        "siglip_loss",
        MATCHED,
        {},
        (Independent(BINARY, torch_siglip),),
        by=tuple(MATCHED),
        batched=False,
        where="losses",
    ),
    LossCase(
        "siglip_loss",
        MATCHED,
        {"temperature": 0.5, "bias": 1.0},
        (Independent(BINARY, with_settings(torch_siglip, temperature=0.5, bias=1.0)),),
        by=tuple(MATCHED),
        batched=False,
        where="losses",
    ),
]
