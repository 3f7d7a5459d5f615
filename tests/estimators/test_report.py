import functools
import math
import sys

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest

from optax.estimators import (
    EstimatorReport,
    estimator_report,
    leave_one_out_jacobians,
    multi_normal,
    pathwise_jacobians,
    score_function_jacobians,
    spsa_jacobians,
)
from x64 import enable_x64

matplotlib.use("agg")
from matplotlib import pyplot  # after the backend is chosen

KEY = jax.random.key(0)
PARAMS = {"loc": jnp.array([1.0, -0.5]), "log_scale": jnp.array(0.3)}
EXACT = {"loc": 2 * PARAMS["loc"], "log_scale": 4 * jnp.exp(2 * PARAMS["log_scale"])}
ESTIMATORS = [score_function_jacobians, leave_one_out_jacobians, pathwise_jacobians]
NAMES = [estimator.__name__ for estimator in ESTIMATORS]


def square(x):
    return jnp.sum(jnp.square(x))


def given(rows):
    """An estimator of known samples."""
    return lambda function, params, dist_builder, rng, num_samples: [jnp.asarray(r) for r in rows]


def report_on(*rows, params=(0.0, 0.0), **options):
    params = [jnp.asarray(p) for p in params]
    return estimator_report({"e": given(rows)}, square, params, multi_normal, KEY, len(rows[0]), **options)


@pytest.fixture(scope="module")
def report():
    return estimator_report(ESTIMATORS, square, PARAMS, multi_normal, KEY, 400, reference=EXACT)


@pytest.fixture(autouse=True)
def no_figure_left():
    yield
    pyplot.close("all")


def test_statistics_against_numpy(report):
    samples = jax.jit(lambda p: [estimate(square, p, multi_normal, KEY, 400) for estimate in ESTIMATORS])(PARAMS)
    for name, jacobians in zip(NAMES, samples, strict=True):
        for leaf in PARAMS:
            x = np.asarray(jacobians[leaf], np.float64)
            mean, variance = x.mean(0), x.var(0, ddof=1)
            np.testing.assert_allclose(report.mean[name][leaf], mean, 1e-4)
            np.testing.assert_allclose(report.variance[name][leaf], variance, 1e-4)
            np.testing.assert_allclose(report.standard_error[name][leaf], np.sqrt(variance / 400), 1e-4)
            np.testing.assert_allclose(report.signal_to_noise[name][leaf], np.abs(mean) / np.sqrt(variance), 1e-4)
            np.testing.assert_allclose(report.bias[name][leaf], mean - np.asarray(EXACT[leaf]), 1e-3, 1e-4)


def test_these_are_unbiased_and_ranked(report):
    for name in NAMES:
        for leaf in PARAMS:
            assert (abs(report.bias[name][leaf]) < 4 * report.standard_error[name][leaf]).all()
    for leaf in PARAMS:
        score, leave_one_out, pathwise = (report.variance[name][leaf] for name in NAMES)
        assert (score > leave_one_out).all()
        assert (leave_one_out > pathwise).all()


def test_rows():
    """By hand: means (1, 3) and variances (0.5, 2); the reference (0, 0)."""
    (row, empty) = report_on(
        [[0.5, 2.0], [1.5, 4.0]], [[], []], params=([0.0, 0.0], []), reference=[jnp.zeros(2), jnp.zeros(0)]
    ).rows()
    assert row.estimator == "e"
    assert row.parameter == "params[0]"
    numbers = [math.sqrt(5), math.sqrt(5), math.sqrt((0.25 + 1) / 2), 1.25, 2.0]
    np.testing.assert_allclose(row[2:], numbers, 1e-6)
    assert all(map(math.isnan, empty[2:]))


def test_two_passes_keep_the_digits_of_a_variance():
    """The mean of the squares less the square of the mean would be rounding alone: 1 beside 10^10."""
    report = report_on([1e5 - 1, 1e5, 1e5 + 1], [0.0, 0.0, 3.0])
    assert report.variance["e"][0] == pytest.approx(1.0)
    assert report.variance["e"][1] == pytest.approx(3.0)


def test_no_noise_and_no_signal():
    sure, nothing = report_on([2.0, 2.0], [0.0, 0.0]).rows()
    assert (sure.variance, sure.signal_to_noise) == (0.0, math.inf)
    assert (nothing.variance, nothing.signal_to_noise) == (0.0, 0.0)
    report = report_on([2.0, 2.0], [0.0, 0.0])
    assert [float(x) for x in report.signal_to_noise["e"]] == [math.inf, 0.0]


def test_table(report):
    assert str(report) == repr(report)
    title, head, *lines = str(report).splitlines()
    assert title == "400 samples of each estimator"
    assert head.split() == ["estimator", "parameter", "mean", "bias", "std.", "error", "variance", "signal/noise"]
    assert [line.split()[:2] for line in lines] == [[n, f"params['{leaf}']"] for n in NAMES for leaf in PARAMS]
    assert len({len(line) for line in lines} | {len(head)}) == 1  # aligned
    for line, row in zip(lines, report.rows(), strict=True):
        np.testing.assert_allclose([float(x) for x in line.split()[2:]], row[2:], 5e-3)


def test_without_a_reference():
    report = report_on([1.0, 2.0], [3.0, 4.0])
    assert report.reference is None
    assert report.bias is None
    title, head, *_ = str(report).splitlines()
    assert title == "2 samples of each estimator; without a reference there is no bias to tell"
    assert "bias" not in head
    assert math.isnan(report.rows()[0].bias)


def test_names():
    def names(estimators):
        report = estimator_report(estimators, square, [0.0, 0.0], multi_normal, KEY, 2)
        return list(report.mean)

    one = given([[1.0, 2.0]] * 2)
    assert names({"first": one, "second": one}) == ["first", "second"]
    assert names(one) == ["<lambda>"]
    assert names([functools.partial(lambda *args, by: one(*args), by=pathwise_jacobians)]) == [
        "<lambda>(by=pathwise_jacobians)"
    ]
    with pytest.raises(ValueError, match="two of the name <lambda>: give a mapping"):
        names([one, one])
    with pytest.raises(ValueError, match="estimators must not be empty"):
        names([])
    with pytest.raises(TypeError, match="estimators must be functions, got 3"):
        names({"three": 3})


def test_precision():
    """Samples in bfloat16 are averaged in float32: 1 + 2^-8 is none of its numbers."""
    rows = jnp.asarray([1.0, 1.0078125], jnp.bfloat16)
    low = report_on(rows, rows)
    assert low.mean["e"][0].dtype == jnp.float32
    assert low.mean["e"][0] == 1.00390625
    with enable_x64():
        report = report_on(np.float64([1.0, 2.0]), [1.0, 2.0], reference=[np.float32(1), np.float64(1)])
        assert {x.dtype for x in (*report.variance["e"], *report.bias["e"])} == {np.dtype("float64")}


class TestPlot:
    def test_what_is_drawn(self, report):
        above, below = report.plot()
        assert above.get_ylabel() == "mean ± 2 standard errors"
        assert below.get_ylabel() == "variance of one sample"
        assert below.get_yscale() == "log"
        assert [t.get_text() for t in below.get_xticklabels()] == ["loc[0]", "loc[1]", "log_scale"]
        assert [t.get_text() for t in above.get_legend().get_texts()] == ["reference", *NAMES]
        exact = [segment[0, 1] for segment in above.collections[0].get_segments()]
        np.testing.assert_allclose(exact, [2.0, -1.0, float(EXACT["log_scale"])], 1e-6)
        for name, bars in zip(NAMES, above.containers, strict=True):
            mean, error = report.mean[name], report.standard_error[name]
            np.testing.assert_allclose(bars[0].get_ydata(), [*mean["loc"], mean["log_scale"]])
            lengths = [segment[1, 1] - segment[0, 1] for segment in bars[2][0].get_segments()]
            np.testing.assert_allclose(lengths, [4 * e for e in (*error["loc"], error["log_scale"])], 1e-4)
        above.figure.canvas.draw()

    def test_variances_of_zero_have_a_mark(self):
        report = estimator_report(pathwise_jacobians, jnp.sum, PARAMS, multi_normal, KEY, 20)
        above, below = report.plot()
        assert below.get_ylabel() == "variance of one sample (▽: 0)"
        dots, triangles = (line for line in below.lines if line.get_marker() in ("o", "v"))
        assert len(dots.get_xdata()) == 1
        assert len(triangles.get_xdata()) == 2
        assert [t.get_text() for t in above.get_legend().get_texts()] == ["pathwise_jacobians"]
        below.figure.canvas.draw()

    def test_only_zeros(self):
        above, _ = report_on([2.0, 2.0], [0.0, 0.0]).plot()
        above.figure.canvas.draw()

    def test_many_components(self):
        n = 1000
        rows = np.tile(np.arange(n, dtype=np.float32), (2, 1))
        above, below = report_on(rows, [1.0, 2.0], params=(np.zeros(n), 0.0)).plot()
        labels = [t.get_text() for t in below.get_xticklabels()]
        assert len(labels) == 20
        assert (labels[0], labels[-1]) == ("params[0][0]", "params[1]")
        means = above.containers[0][0].get_ydata()
        assert list(means[:-1]) == [float(label[10:-1]) for label in labels[:-1]]

    def test_axes_of_the_user(self, report):
        figure, axes = pyplot.subplots(1, 2)
        axes[0].set_ylabel("mine")
        above, below = report.plot(axes)
        assert (above, below) == tuple(axes)
        assert (above.get_ylabel(), below.get_ylabel()) == ("mine", "variance of one sample")
        assert pyplot.get_fignums() == [figure.number]
        for wrong in (axes[0], [axes[0], figure], pyplot):
            with pytest.raises(TypeError, match="ax must be two axes of matplotlib"):
                report.plot(wrong)

    @pytest.mark.parametrize("missing", ["matplotlib", "matplotlib.pyplot"])
    def test_without_matplotlib(self, report, missing, monkeypatch):
        for name in [*sys.modules]:
            if name.split(".")[0] == "matplotlib":
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, missing, None)  # as if it were not installed
        with pytest.raises(ImportError, match=r'^plot needs matplotlib: pip install "optax-estimators\[plot\]"$'):
            report.plot()


class TestErrors:
    @pytest.mark.parametrize("n", [1, 0])
    def test_too_few_samples(self, n):
        with pytest.raises(ValueError, match=f"num_samples must be >= 2 for a variance, got {n}"):
            estimator_report(ESTIMATORS, square, PARAMS, multi_normal, KEY, n)

    def test_references_of_another_form(self):
        with pytest.raises(ValueError, match="reference must be a tree like params"):
            report_on([1.0, 2.0], [1.0, 2.0], reference=(1.0, 2.0))
        with pytest.raises(ValueError, match=r"reference must have the shape \(\) at params\[1\], got \(3,\)"):
            report_on([1.0, 2.0], [1.0, 2.0], reference=[1.0, jnp.zeros(3)])

    def test_estimators_of_another_convention(self):
        with pytest.raises(ValueError, match="what e returns must be a tree like params"):
            report_on([1.0, 2.0])
        with pytest.raises(ValueError, match=r"what e returns must have the shape \(3,\) at params\[1\], got \(2,\)"):
            report_on([1.0, 2.0, 3.0], [1.0, 2.0])
        with pytest.raises(TypeError, match="positional argument"):
            estimator_report(spsa_jacobians, square, PARAMS, multi_normal, KEY, 2)

    def test_it_is_a_report(self, report):
        assert isinstance(report, EstimatorReport)
        with pytest.raises(AttributeError):
            report.num_samples = 3
