"""What every schedule promises: the counts it takes, the values it returns, and that it is a value itself."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax.schedules
from contract.test_schedules import FACTORIES
from optax import schedules
from x64 import enable_x64

CALLS = {
    "constant": lambda: schedules.constant_schedule(0.3),
    "linear": lambda: schedules.linear_schedule(0.1, 0.7, 6, 2),
    "polynomial": lambda: schedules.polynomial_schedule(1.0, 0.1, 2.5, 7, transition_begin=1),
    "cosine": lambda: schedules.cosine_decay_schedule(0.5, 7, alpha=0.1, exponent=1.5),
    "warmup_constant": lambda: schedules.warmup_constant_schedule(0.0, 0.3, 4),
    "warmup_cosine": lambda: schedules.warmup_cosine_decay_schedule(0.0, 1.0, 3, 9, 0.1),
    "exponential": lambda: schedules.exponential_decay(1.0, 3, 0.8, 2, end_value=0.3),
    "stairs": lambda: schedules.exponential_decay(1.0, 3, 0.5, 1, staircase=True, end_value=0.1),
    "multi_step": lambda: schedules.multi_step_schedule(1.0, [3, 3, 8], 0.5),
    "piecewise_constant": lambda: schedules.piecewise_constant_schedule(0.3, {3: 2.0, 8: 0.5}),
    "piecewise_linear": lambda: schedules.piecewise_interpolate_schedule("linear", 0.3, {3: 2.0, 8: 0.5}),
    "piecewise_cosine": lambda: schedules.piecewise_interpolate_schedule("cosine", 0.3, {0: 2.0, 8: 0.0}),
    "linear_onecycle": lambda: schedules.linear_onecycle_schedule(10, 1.0, final_div_factor=10.0),
    "cosine_onecycle": lambda: schedules.cosine_onecycle_schedule(10, 1.0, 0.25, 10.0, 2.0),
    "warmup_exponential": lambda: schedules.warmup_exponential_decay_schedule(0, 1.0, 3, 2, 0.5, 1, end_value=0.1),
    "sgdr": lambda: schedules.sgdr_schedule(
        [{"init_value": 0.0, "peak_value": p, "warmup_steps": 2, "decay_steps": 5} for p in (1.0, 0.5)]
    ),
    "warmup_stable_decay": lambda: schedules.warmup_stable_decay_schedule(0.0, 1.0, 2, 10, 0.5, 0.1),
    "cosine_cycles": lambda: schedules.cosine_cycles_schedule(0.0, 1.0, 1, 3, 2, 0.1, 2, 0.5),
    "rex": lambda: schedules.rex_schedule(1.0, 9, 0.1),
    "add": lambda: schedules.add_schedules(schedules.linear_schedule(0.0, 1.0, 4), 0.5),
    "multiply": lambda: 2 * schedules.linear_schedule(0.0, 1.0, 4),
    "clip": lambda: schedules.clip_schedule(schedules.linear_schedule(0.0, 1.0, 8), 0.2, 0.7),
    "shift": lambda: schedules.shift_schedule(schedules.linear_schedule(0.0, 1.0, 4), 3),
    "stretch": lambda: schedules.stretch_schedule(schedules.linear_schedule(0.0, 1.0, 4), 2),
    "warmup": lambda: schedules.warmup(schedules.linear_schedule(1.0, 0.0, 4), 3),
    "cooldown": lambda: schedules.cooldown(schedules.constant_schedule(1.0), 4, 5, shape="cosine"),
    "join": lambda: schedules.join_schedules(
        [schedules.linear_schedule(0.0, 1.0, 4), schedules.constant_schedule(2.0), schedules.linear_schedule(1, 0, 3)],
        [4, 6],
    ),
}
# Those that never come to an end.
ENDLESS = {
    "step": lambda: schedules.step_schedule(1.0, 4, 0.5),
    "inverse_sqrt": lambda: schedules.inverse_sqrt_schedule(1.0, 4),
    "inverse_time": lambda: schedules.inverse_time_schedule(1.0, 4, 2.0),
    "inverse_time_stairs": lambda: schedules.inverse_time_schedule(1.0, 4, 2.0, staircase=True),
    "power": lambda: schedules.power_schedule(0.4, 0.8, tokens_per_step=0.5),
    "cyclic": lambda: schedules.cyclic_schedule(0.1, 1.0, 2, 3, 0.5, 0.99),
    "triangular": lambda: schedules.cyclic_schedule(0.1, 1.0, 3),
}
COUNTS = range(12)
every = pytest.mark.parametrize("make", [*CALLS.values(), *ENDLESS.values()], ids=[*CALLS, *ENDLESS])
ending = pytest.mark.parametrize("make", CALLS.values(), ids=CALLS)


@every
def test_jit_vmap_and_arrays_agree_with_single_counts(make):
    s = make()
    single = [s(t).item() for t in COUNTS]
    counts = np.arange(len(COUNTS))
    np.testing.assert_allclose(s(counts), single, 1e-6, 1e-7)
    np.testing.assert_allclose(jax.jit(s)(counts), single, 1e-6, 1e-7)
    np.testing.assert_allclose(jax.jit(jax.vmap(s))(counts), single, 1e-6, 1e-7)


KINDS = [int, float, np.int64, np.float32, np.uint8, np.uint64]
KINDS += [jnp.int32, jnp.int8, jnp.int4, jnp.uint32, jnp.float32, jnp.bfloat16]


@every
def test_the_value_is_a_strongly_typed_float32_whatever_the_count_is(make):
    s = make()
    values = [s(convert(5)) for convert in KINDS]
    assert {(v.shape, v.dtype, v.weak_type) for v in values} == {((), np.dtype("float32"), False)}
    np.testing.assert_allclose(values, values[0], 2e-7)


def test_the_table_has_every_factory():
    assert {make().name for make in (CALLS | ENDLESS).values()} == FACTORIES.keys()


@pytest.mark.parametrize("count", ["3", None, 1j, b"3", [None]])
def test_a_count_is_a_number(count):
    with pytest.raises(TypeError, match="count must be a number of steps, not "):
        schedules.constant_schedule(1.0)(count)


@every
def test_float64_under_x64(make):
    with enable_x64():
        for count in (5, 5.0, np.int32(5), jnp.int32(5), jnp.float32(5), jnp.uint64(5)):
            value = make()(count)
            assert (value.dtype, value.weak_type) == (jnp.float64, False)
            np.testing.assert_allclose(value, make()(5), 1e-15)


@every
def test_negative_counts_are_the_beginning(make):
    s = make()
    for count in (-1, -1.5, jnp.int32(-7), jnp.iinfo(jnp.int32).min, np.int64(-(2**40))):
        assert s(count) == s(0)


@ending
def test_after_the_end_nothing_changes(make):
    s = make()
    for count in (100, 1e9, 2**31 - 1, 2**31, 2**62, jnp.int32(2**31 - 1), jnp.uint32(2**32 - 1), float("inf")):
        assert s(count) == s(50)


@every
def test_half_steps_lie_between(make):
    s = make()
    assert min(s(1), s(2)) <= s(1.5) <= max(s(1), s(2))


@pytest.mark.parametrize("make", ENDLESS.values(), ids=ENDLESS)
def test_what_never_ends_stays_finite(make):
    s = make()
    for count in (2**31 - 1, 2**31, 2**62, jnp.uint32(2**32 - 1), float("inf")):
        assert 0 <= s(count) <= 1


@every
def test_prints_as_the_call_that_made_it(make):
    s = make()
    assert repr(s).startswith("optax.schedules.")
    again = eval(repr(s), {"optax": optax})
    assert again == s
    assert jnp.array_equal(again(jnp.arange(12)), s(jnp.arange(12)))


@every
def test_equals_another_one_made_alike(make):
    assert make() == make()
    assert hash(make()) == hash(make())
    assert make() is not make()
    assert [other() == make() for other in (CALLS | ENDLESS).values()].count(True) == 1
    assert make() != "a schedule"


@every
def test_can_be_pickled_and_copied(make):
    s = make()
    for other in (pickle.loads(pickle.dumps(s)), copy.copy(s), copy.deepcopy(s)):
        assert other == s
        assert other(3) == s(3)


def test_a_static_argument_does_not_recompile():
    traced = []

    @jax.jit
    def step(count):
        traced.append(count)
        return schedules.linear_schedule(0.0, 1.0, 4)(count)

    apply = jax.jit(lambda s, count: traced.append(count) or s(count), static_argnums=0)
    for t in range(3):
        apply(schedules.linear_schedule(0.0, 1.0, 4), t)
        step(jnp.int32(t))
    assert len(traced) == 2


def test_numbers_that_are_equal_make_equal_schedules():
    assert schedules.linear_schedule(0, 1, 4) == schedules.linear_schedule(0.0, 1.0, transition_steps=4)
    assert schedules.linear_schedule(0, 1, 4) != schedules.linear_schedule(0, 1, 5)
    assert schedules.constant_schedule(jnp.float32(2)) == schedules.constant_schedule(jnp.float32(2))


def test_names():
    assert schedules.constant_schedule(1).name == "constant_schedule"
    assert "lambda" in schedules.ScheduleValue(lambda t: t).name


class TestRules:
    def test_a_schedule_of_ones_own(self):
        s = schedules.ScheduleValue(_rule)
        assert s(3).tolist() == 1.5
        assert s(-3).tolist() == 0
        assert s == schedules.ScheduleValue(_rule)
        assert s != schedules.ScheduleValue(lambda t: t)
        assert pickle.loads(pickle.dumps(s)) == s
        assert "_rule" in repr(s)

    def test_a_factory_of_ones_own(self):
        s = half_of(0.5)
        assert s(3).tolist() == 1.5
        assert repr(s).endswith("half_of(0.5)")
        assert s == half_of(0.5) != half_of(1.0)


def _rule(t):
    return 0.5 * t.astype(float)


@schedules.schedule
def half_of(factor):
    return schedules.ScheduleValue(lambda t: factor * t.astype(float))


SWEEPS = {
    "constant": (schedules.constant_schedule, (0.3,)),
    "linear": (schedules.linear_schedule, (0.1, 1.0, 6.0, 2.0)),
    "polynomial": (schedules.polynomial_schedule, (0.1, 1.0, 0.5, 6.0, 2.0)),
    "cosine": (schedules.cosine_decay_schedule, (0.7, 6.0, 0.1, 0.5)),
    "warmup_constant": (schedules.warmup_constant_schedule, (0.1, 1.0, 6.0)),
    "warmup_cosine": (schedules.warmup_cosine_decay_schedule, (0.1, 1.0, 3.0, 9.0, 0.05, 0.5)),
    "exponential": (schedules.exponential_decay, (0.3, 6.0, 0.5, 2.0)),
    "bounded_exponential": (lambda *a: schedules.exponential_decay(*a[:4], end_value=a[4]), (0.3, 6.0, 0.5, 2.0, 0.2)),
    "growth": (lambda *a: schedules.exponential_decay(*a, end_value=2.0), (0.3, 6.0, 1.5, 2.0)),
    "multi_step": (lambda v, a, b, r: schedules.multi_step_schedule(v, [a, b], r), (0.3, 2.0, 6.0, 0.5)),
    "piecewise_constant": (lambda v, *s: schedules.piecewise_constant_schedule(v, {2: s[0], 9: s[1]}), (0.3, 0.5, 1.5)),
    "piecewise_cosine": (
        lambda v, *s: schedules.piecewise_interpolate_schedule("cosine", v, {2: s[0], 9: s[1]}),
        (0.3, 0.5, 1.5),
    ),
    "linear_onecycle": (lambda *a: schedules.linear_onecycle_schedule(9, a[0], 0.25, 0.7, *a[1:]), (0.3, 1.9, 1.8)),
    "cosine_onecycle": (lambda *a: schedules.cosine_onecycle_schedule(9, a[0], 0.25, *a[1:]), (0.3, 1.9, 1.8)),
    "warmup_exponential": (schedules.warmup_exponential_decay_schedule, (0.1, 1.0, 3.0, 3.0, 0.5, 3.0)),
    "warmup_stable_decay": (schedules.warmup_stable_decay_schedule, (0.1, 1.0, 3.0, 9.0, 3.0, 0.2)),
    "cosine_cycles": (
        lambda *a: schedules.cosine_cycles_schedule(*a[:4], 2, *a[4:]),
        (0.1, 1.0, 2.0, 6.0, 0.2, 1.0, 0.5),
    ),
    "inverse_sqrt": (schedules.inverse_sqrt_schedule, (0.3, 6.0)),
    "inverse_time": (schedules.inverse_time_schedule, (0.3, 6.0, 0.5)),
    "power": (lambda *a: schedules.power_schedule(0.7, a[0], -a[1], a[2]), (0.9, 0.5, 0.5)),
    "rex": (schedules.rex_schedule, (0.3, 6.0, 0.1)),
    "cyclic": (schedules.cyclic_schedule, (0.1, 1.0, 3.0, 6.0, 0.4, 0.45)),
    "clip": (lambda *a: schedules.clip_schedule(schedules.linear_schedule(0.0, 1.0, a[0]), *a[1:]), (9.0, 0.2, 0.8)),
    "shift": (lambda *a: schedules.shift_schedule(schedules.linear_schedule(*a[:3]), a[3]), (0.1, 1.0, 6.0, 3.0)),
    "stretch": (lambda *a: schedules.stretch_schedule(schedules.linear_schedule(*a[:3]), a[3]), (0.1, 1.0, 3.0, 2.0)),
    "warmup": (lambda *a: schedules.warmup(schedules.rex_schedule(*a[:2]), *a[2:]), (1.0, 6.0, 3.0, 0.1)),
    "cooldown": (
        lambda *a: schedules.cooldown(schedules.linear_schedule(*a[:3]), *a[3:]),
        (0.1, 1.0, 6.0, 3.0, 3.0, 0.2),
    ),
}
sweeps = pytest.mark.parametrize(("factory", "arguments"), SWEEPS.values(), ids=SWEEPS)


@sweeps
def test_every_argument_may_be_traced(factory, arguments):
    counts = jnp.arange(12)
    rows = jnp.stack([jnp.array(arguments), jnp.array(arguments) * 2])
    swept = jax.jit(jax.vmap(lambda row: factory(*row)(counts)))(rows)
    np.testing.assert_allclose(swept[0], factory(*arguments)(counts), 1e-5, 1e-6)
    np.testing.assert_allclose(swept[1], factory(*(2 * a for a in arguments))(counts), 1e-5, 1e-6)


@sweeps
def test_lengths_may_be_traced_integers(factory, arguments):
    mixed = [jnp.int32(a) if a >= 2 else jnp.float32(a) for a in arguments]
    expected = factory(*arguments)(jnp.arange(12))
    np.testing.assert_allclose(jax.jit(lambda m: factory(*m)(jnp.arange(12)))(mixed), expected, 1e-6, 1e-7)


@sweeps
def test_derivatives_by_every_argument_are_finite_everywhere_and_right_between_the_corners(factory, arguments):
    with enable_x64():

        def values(row):
            return factory(*row)(jnp.array([0, 1, 2, 3, 4, 5, 6, 8, 9, 12, 10000, 2**31 - 1]))

        row = np.array(arguments)
        slopes = jax.jit(jax.jacrev(values))(row)
        assert np.isfinite(slopes).all()

        smooth = np.array([1, 4, 5, 10, 11])  # counts that no phase begins or ends at
        for i in range(len(arguments)):
            step = 1e-6 * np.eye(len(arguments))[i]
            difference = (values(row + step) - values(row - step)) / 2e-6
            np.testing.assert_allclose(slopes[smooth, i], difference[smooth], 1e-6, 1e-8)


# Those whose lengths divide the count.
NEVER_ZERO = [
    "exponential",
    "bounded_exponential",
    "growth",
    "warmup_exponential",
    "cosine_cycles",
    "cyclic",
    "stretch",
]
NEVER_ZERO += ["inverse_sqrt", "inverse_time"]


@pytest.mark.parametrize("name", sorted(SWEEPS.keys() - NEVER_ZERO))
def test_lengths_of_zero_have_finite_derivatives_too(name):
    factory, arguments = SWEEPS[name]
    row = jnp.array([a if a < 2 else 0.0 for a in arguments])
    slopes = jax.jit(jax.jacfwd(lambda row: factory(*row)(jnp.arange(4))))(row)
    assert jnp.isfinite(slopes).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.constant_schedule("1"), "value must be a real number, not '1'"),
        (lambda: schedules.constant_schedule(None), "value must be a real number, not None"),
        (lambda: schedules.constant_schedule(1j), "value must be a real number, not 1j"),
        (lambda: schedules.linear_schedule(0, schedules.constant_schedule(1), 5), "end_value must be a real number"),
        (lambda: schedules.linear_schedule(0, 1, None), "transition_steps must be a real number, not None"),
        (lambda: schedules.polynomial_schedule(0, 1, "2", 3), "power must be a real number"),
        (lambda: schedules.cosine_decay_schedule(1, [5]), r"decay_steps must be a real number, not \[5\]"),
        (lambda: schedules.warmup_cosine_decay_schedule(0, "1", 2, 3), "peak_value must be a real number"),
        (lambda: schedules.multi_step_schedule(1.0, 30), "milestones must be a sequence of counts, not 30"),
        (lambda: schedules.join_schedules([abs, abs], 3), "boundaries must be a sequence of counts, not 3"),
        (
            lambda: schedules.piecewise_constant_schedule(1.0, [(2, 0.1)]),
            "boundaries_and_scales must be a dict of factors by counts, not",
        ),
        (
            lambda: schedules.sgdr_schedule({"init_value": 0.0}),
            r"cosine_kwargs\[0\] must be a dict of arguments, not 'init_value'",
        ),
    ],
)
def test_what_is_no_number_is_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.linear_schedule(0, 1, -1), "transition_steps must be at least 0, not -1"),
        (lambda: schedules.linear_schedule(0, 1, float("nan")), "transition_steps must be at least 0, not nan"),
        (lambda: schedules.linear_schedule(0, 1, 5, -2), "transition_begin must be at least 0, not -2"),
        (lambda: schedules.polynomial_schedule(0, 1, 0, 5), "power must be above 0, not 0"),
        (lambda: schedules.polynomial_schedule(0, 1, 1, jnp.int32(-5)), "transition_steps must be at least 0"),
        (lambda: schedules.cosine_decay_schedule(1, -5), "decay_steps must be at least 0, not -5"),
        (lambda: schedules.cosine_decay_schedule(1, 5, exponent=-1.0), r"exponent must be above 0, not -1\.0"),
        (lambda: schedules.warmup_constant_schedule(0, 1, -3), "warmup_steps must be at least 0, not -3"),
        (lambda: schedules.warmup_cosine_decay_schedule(0, 1, -3, 5), "warmup_steps must be at least 0, not -3"),
        (
            lambda: schedules.warmup_cosine_decay_schedule(0, 1, 5, 4),
            "decay_steps must be at least warmup_steps=5, not 4",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
