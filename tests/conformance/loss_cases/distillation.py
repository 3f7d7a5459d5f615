"""Distillation: the divergences are compared with torch and SciPy, of softmaxes taken there."""

import numpy as np

from conformance.losses import Independent, LossCase

rng = np.random.default_rng(0)
STUDENT, TEACHER = rng.normal(size=(2, 3, 5)).astype(np.float32) * 2
LARGE = {
    "student_logits": np.asarray([[30.0, 0.0, -30.0], [5.0, 5.0, 5.0]], np.float32),
    "teacher_logits": np.asarray([[-30.0, 0.0, 30.0], [5.0, 5.0, 5.0]], np.float32),
}


def torch_kl(teacher, student, t):
    import torch

    log_p, log_q = (torch.log_softmax(z / t, -1) for z in (teacher, student))
    return t**2 * torch.nn.functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)


def torch_js(beta):
    def function(student_logits, teacher_logits):
        import torch

        p, q = torch.softmax(teacher_logits, -1), torch.softmax(student_logits, -1)
        log_m = torch.log(beta * p + (1 - beta) * q)
        kl_p, kl_q = (torch.nn.functional.kl_div(log_m, x, reduction="none").sum(-1) for x in (p, q))
        return beta * kl_p + (1 - beta) * kl_q

    return Independent("torch.nn.functional.kl_div", function)


def scipy_js(student_logits, teacher_logits):
    import scipy.spatial.distance
    import scipy.special

    p, q = scipy.special.softmax(teacher_logits, -1), scipy.special.softmax(student_logits, -1)
    return np.square(scipy.spatial.distance.jensenshannon(p, q, axis=-1))


def forward(t):
    function = lambda student_logits, teacher_logits: torch_kl(teacher_logits, student_logits, t)  # noqa: E731
    return (Independent("torch.nn.functional.kl_div", function),)


def reverse(t):
    function = lambda student_logits, teacher_logits: torch_kl(student_logits, teacher_logits, t)  # noqa: E731
    return (Independent("torch.nn.functional.kl_div", function),)


BOTH = ("student_logits", "teacher_logits")
RANDOM = dict(zip(BOTH, (STUDENT, TEACHER), strict=True))
SCIPY = Independent("scipy.spatial.distance.jensenshannon", scipy_js)
CASES = [
    LossCase("forward_kl_distillation_loss", RANDOM, {}, forward(1.0), by=BOTH),
    LossCase("forward_kl_distillation_loss", RANDOM, {"temperature": 3.0}, forward(3.0), by=BOTH),
    LossCase("forward_kl_distillation_loss", LARGE, {"temperature": 0.5}, forward(0.5), by=BOTH),
    LossCase("reverse_kl_distillation_loss", RANDOM, {}, reverse(1.0), by=BOTH),
    LossCase("reverse_kl_distillation_loss", RANDOM, {"temperature": 3.0}, reverse(3.0), by=BOTH),
    LossCase("reverse_kl_distillation_loss", LARGE, {"temperature": 0.5}, reverse(0.5), by=BOTH),
    LossCase("jensen_shannon_distillation_loss", RANDOM, {}, (torch_js(0.5), SCIPY), by=BOTH),
    LossCase("jensen_shannon_distillation_loss", RANDOM, {"beta": 0.1}, (torch_js(0.1),), by=BOTH),
    LossCase("jensen_shannon_distillation_loss", LARGE, {"beta": 0.9}, (torch_js(0.9),), by=BOTH),
]
