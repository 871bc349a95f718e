"""Pictures: what is drawn is what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamella
from lamella import layers, plots

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

RNG = np.random.default_rng(2)
X = RNG.normal(size=(60, 2)).astype("float32")
Y = (X[:, 0] * X[:, 1] > 0).astype("int64")


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def classifier() -> Any:
    lamella.set_random_seed(0)
    model = lamella.Sequential(
        [
            lamella.Input((2,)),
            layers.Dense(6, "tanh", name="hidden"),
            layers.Dense(1, "sigmoid", name="out"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    return model


@pytest.fixture(scope="module")
def pictures() -> Any:
    lamella.set_random_seed(0)
    return lamella.Sequential(
        [
            lamella.Input((8, 8, 1)),
            layers.Conv2D(5, 3, activation="relu", name="conv"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Flatten(name="flat"),
            layers.Dense(3, "softmax", name="dense"),
        ]
    )


def test_history_draws_each_metric_with_its_validation(tmp_path: Path) -> None:
    curves = {"loss": [3, 2, 1], "val_loss": [4, 3, 3], "mae": [1, 1, 1]}
    figure = plots.history(curves, tmp_path / "a.png", title="t", log=True)
    assert (tmp_path / "a.png").stat().st_size > 1000
    first, second = figure.axes
    assert [line.get_label() for line in first.lines] == ["loss", "loss (validation)"]
    np.testing.assert_array_equal(first.lines[1].get_ydata(), [4, 3, 3])
    assert first.get_yscale() == "log"
    assert second.get_ylabel() == "mae"
    _, ax = plt.subplots()
    assert plots.history(curves, ax=ax) is ax.figure
    assert len(ax.lines) == 3


def test_learning_curves_compare_runs() -> None:
    runs = {"a": {"loss": [2, 1], "val_loss": [3, 2]}, "b": [5, 4, 3]}
    ax = plots.learning_curves(runs, log=True)
    assert [len(line.get_xdata()) for line in ax.lines] == [2, 2, 3]
    with pytest.raises(ValueError, match="run 'a' has no 'mae', it has loss"):
        plots.learning_curves(runs, "mae")


def test_activation_functions_with_derivatives() -> None:
    axes = plots.activation_functions(["tanh", "relu"])
    x, y = axes[0].lines[0].get_data()
    np.testing.assert_allclose(y, np.tanh(x), rtol=1e-6)
    np.testing.assert_allclose(
        axes[0].lines[1].get_ydata(), 1 - np.tanh(x) ** 2, rtol=1e-5, atol=1e-7
    )
    _, ax = plt.subplots()
    plots.activation_functions(["elu", lambda x: x * x], derivative=False, ax=ax)
    assert ax.get_legend_handles_labels()[1][0] == "elu"


def test_fitted_curve_and_predictions() -> None:
    ax = plots.fitted_curve(lambda x: 2 * x, [0.0, 1.0], [0.1, 1.9])
    x, y = ax.lines[1].get_data()
    np.testing.assert_allclose(y, 2 * x)
    ax = plots.predictions([1.0, 2.0], [1.0, 4.0])
    assert ax.get_title() == "RMSE 1.414"
    with pytest.raises(ValueError, match="2 true and 1 predicted"):
        plots.predictions([1, 2], [1])


class _Labels:
    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.where(x[:, 0] > 0, "right", "left")


class _Scores:
    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return x[:, 0]


class _Probabilities:
    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        p = np.exp(np.stack([x[:, 0], x[:, 1], 0 * x[:, 0]], 1))
        return p / p.sum(1, keepdims=True)


@pytest.mark.parametrize(
    "make", [_Labels, _Scores, _Probabilities, lambda: lambda x: x[:, 1] > 0]
)
def test_decision_boundary_of_any_classifier(make: Callable[[], Any]) -> None:
    ax = plots.decision_boundary(make(), X, Y, resolution=20)
    points = ax.collections[-1].get_offsets()
    np.testing.assert_allclose(points, X)
    assert len(ax.collections) >= 2  # regions and points


def test_decision_boundary_of_few_probabilities_is_no_set_of_labels() -> None:
    class Tree:
        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            p = np.where(x[:, 0] > 0, 0.9, 0.2)
            return np.stack([1 - p, p], 1)

    ax = plots.decision_boundary(Tree(), X, Y, resolution=20)
    assert ax.figure.axes[-1].get_ylabel() == "output"  # a colour bar


def test_decision_boundary_of_a_model_is_where_it_changes(classifier: Any) -> None:
    ax = plots.decision_boundary(classifier, X, np.eye(2)[Y], resolution=20)
    assert ax.get_xlabel() == "$x_{1}$"
    wide = np.hstack([X, 7 + np.zeros((60, 1), "float32")])
    seen: list[np.ndarray] = []

    def function(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return x[:, 2]

    plots.decision_boundary(function, wide, features=(2, 0), resolution=5)
    np.testing.assert_allclose(seen[0][:, 1], wide[:, 1].mean(), rtol=1e-6)
    with pytest.raises(ValueError, match="at least 2 features, got \\(60, 1\\)"):
        plots.decision_boundary(classifier, X[:, :1])


def test_neuron_maps_are_the_outputs_of_the_neurons(classifier: Any) -> None:
    axes = plots.neuron_maps(classifier, X, resolution=4, margin=0)
    assert len(axes) == 6
    kernel, bias = classifier.get_layer("hidden").get_weights()
    corner = np.tanh(X.min(0) @ kernel[:, 3] + bias[3])
    drawn = axes[3].collections[0].get_array().ravel()[0]
    np.testing.assert_allclose(drawn, corner, rtol=1e-5)


def test_confusion_matrix_counts() -> None:
    ax = plots.confusion_matrix([0, 0, 1, 2], [0, 1, 1, 1], labels=["a", "b", "c"])
    expected = [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
    np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    assert ax.get_title() == "accuracy 0.5000"
    ax = plots.confusion_matrix([0, 1, 1], [0.2, 0.7, 0.1], normalize=True)
    np.testing.assert_array_equal(ax.images[0].get_array(), [[1, 0], [0.5, 0.5]])
    with pytest.raises(ValueError, match="3 true and 2 predicted"):
        plots.confusion_matrix([0, 1, 1], [0, 1])


def test_class_scores_next_to_the_picture() -> None:
    axes = plots.class_scores([[0.1, 0.9]], np.eye(4), labels=["cat", "dog"])
    assert axes[1].get_title() == "dog: 0.900"


def test_images_mark_wrong_predictions() -> None:
    axes = plots.images(np.zeros((2, 4, 4)), [0, 1], predictions=[0, 0])
    assert [a.get_title() for a in axes] == ["0", "0 (1)"]
    assert axes[1].title.get_color() == "tab:red"
    with pytest.raises(ValueError, match="got \\(3, 3\\)"):
        plots.images(np.zeros((3, 3)))


def test_feature_maps_and_filters(pictures: Any) -> None:
    image = RNG.uniform(size=(8, 8)).astype("float32")
    axes = plots.feature_maps(pictures, image)
    assert len(axes) == 5
    kernel, bias = pictures.get_layer("conv").get_weights()
    first = np.maximum(0, np.sum(image[:3, :3] * kernel[:, :, 0, 2]) + bias[2])
    drawn = axes[2].images[0].get_array()[0, 0]
    np.testing.assert_allclose(drawn, first, rtol=1e-5)
    assert len(plots.feature_maps(pictures, image, layer="pool")) == 5
    with pytest.raises(ValueError, match="layer 'dense' gives shape"):
        plots.feature_maps(pictures, image, layer="dense")
    panels = plots.filters(pictures)
    np.testing.assert_array_equal(panels[4].images[0].get_array(), kernel[:, :, 0, 4])
    with pytest.raises(ValueError, match="5 panels are needed, got 1"):
        plots.filters(pictures, ax=plt.subplots()[1])


def test_weights_gradients_activations_by_layer(classifier: Any) -> None:
    names = ["hidden", "out"]
    for ax in (
        plots.weights(classifier),
        plots.gradients(classifier, X, Y[:, None]),
        plots.activations(classifier, X),
    ):
        assert [t.get_text() for t in ax.get_xticklabels()] == names
    kernel = classifier.get_layer("hidden").get_weights()[0]
    median = plots.weights(classifier).lines[0].get_ydata()[0]
    np.testing.assert_allclose(median, np.median(kernel), rtol=1e-6)
    fresh = lamella.Sequential([lamella.Input((2,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="compile the model first"):
        plots.gradients(fresh, X, Y)


def test_gradients_show_that_deep_sigmoids_vanish() -> None:
    lamella.set_random_seed(1)
    deep = [layers.Dense(20, "sigmoid") for _ in range(5)]
    model = lamella.Sequential([lamella.Input((2,)), *deep, layers.Dense(1)])
    ax = plots.gradients(model, X, Y[:, None].astype("float32"), loss="mse")
    medians = ax.lines[0].get_ydata()
    assert medians[0] < medians[4] - 1  # ten times smaller


def _bowl(a: Any, b: Any) -> Any:
    return a * a + 10 * b * b


@pytest.mark.parametrize("kind", ["contour", "3d"])
def test_loss_surface_with_paths(kind: str) -> None:
    path = np.array([[1.0, 1.0], [0.5, 0.2], [0.0, 0.0]])
    ax = plots.loss_surface(
        _bowl, paths={"gd": path}, kind=kind, log=True, resolution=20
    )
    assert ax.get_legend_handles_labels()[1] == ["gd"]
    np.testing.assert_allclose(np.asarray(ax.lines[0].get_xdata()), path[:, 0])


def test_loss_surface_of_a_function_of_numbers_and_bad_calls() -> None:
    ax = plots.loss_surface(lambda a, b: max(a, b), resolution=10)
    assert ax.collections
    with pytest.raises(ValueError, match="'contour' or '3d', got 'flat'"):
        plots.loss_surface(_bowl, kind="flat")
    with pytest.raises(ValueError, match="shape \\(steps, 2\\), got \\(3,\\)"):
        plots.loss_surface(_bowl, paths=[1, 2, 3])


def test_animate_paths_draws_step_by_step() -> None:
    path = np.array([[1.0, 1.0], [0.5, 0.2], [0.0, 0.0]])
    animation = plots.animate_paths(_bowl, {"gd": path})
    (line,) = animation._func(1)
    np.testing.assert_array_equal(line.get_xdata(), path[:2, 0])
    animation._draw_was_started = True  # it is not shown here


def test_without_matplotlib_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    monkeypatch.delitem(__import__("sys").modules, "matplotlib.pyplot", raising=False)
    with pytest.raises(ImportError, match=r"lamella\[plot\]"):
        plots.learning_curves({"a": [1]})
