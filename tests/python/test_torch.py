"""lamella.torch: the same code gives the same results with PyTorch."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamella.torch as lt

sys.path.insert(0, str(Path(__file__).parent))
from torch_cases import OPS
from torch_compare import differences, plain
from torch_extra_cases import COMPOSED
from torch_nn_cases import LAYERS, LOSSES, OPTIMIZERS, PROGRAMS

TABLES = {**OPS, **COMPOSED, **LAYERS, **LOSSES, **OPTIMIZERS, **PROGRAMS}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_torch_face_gives_what_pytorch_gives(name: str) -> None:
    torch = pytest.importorskip("torch")
    case = TABLES[name]
    # Some trainings amplify rounding; all numbers are float32.
    found = differences(plain(case(lt)), plain(case(torch)), 1e-4, 1e-5)
    assert not found, "\n".join(found)


# ---------------------------------------------------------------- without PyTorch


def quadratic_steps(name: str, **options: Any) -> list[float]:
    """A parameter after three steps down x**2 / 2, from 1."""
    p = lt.nn.Parameter(lt.tensor([1.0]))
    optimizer = getattr(lt.optim, name)([p], **options)
    values = []
    for _ in range(3):
        optimizer.zero_grad()
        (p * p / 2).sum().backward()
        optimizer.step()
        values.append(p.item())
    return values


def by_formula(rule: Any) -> list[float]:
    x, state, values = 1.0, {}, []
    for t in range(1, 4):
        x = rule(x, x, t, state)
        values.append(x)
    return values


def _momentum(x: float, g: float, t: int, s: dict[str, float]) -> float:
    s["b"] = g if t == 1 else 0.9 * s["b"] + g
    return x - 0.1 * s["b"]


def _adam(x: float, g: float, t: int, s: dict[str, float]) -> float:
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g * g
    v = s["v"] / (1 - 0.999**t)
    return x - 0.1 * (s["m"] / (1 - 0.9**t)) / (v**0.5 + 1e-8)


def _rmsprop(x: float, g: float, t: int, s: dict[str, float]) -> float:
    s["v"] = 0.99 * s.get("v", 0) + 0.01 * g * g
    return x - 0.01 * g / (s["v"] ** 0.5 + 1e-8)


@pytest.mark.parametrize(
    ("name", "options", "rule"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9}, _momentum),
        ("Adam", {"lr": 0.1}, _adam),
        ("RMSprop", {"lr": 0.01}, _rmsprop),
    ],
)
def test_optimizers_follow_their_formulas(name: str, options: Any, rule: Any) -> None:
    np.testing.assert_allclose(
        quadratic_steps(name, **options), by_formula(rule), rtol=1e-5
    )


def test_two_layer_net_learns_xor() -> None:
    lt.manual_seed(1)
    x = lt.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    y = lt.tensor([0, 1, 1, 0])
    model = lt.nn.Sequential(lt.nn.Linear(2, 8), lt.nn.Tanh(), lt.nn.Linear(8, 2))
    optimizer = lt.optim.Adam(model.parameters(), lr=0.05)
    criterion = lt.nn.CrossEntropyLoss()
    for _ in range(200):
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).all()


def test_second_derivative_of_a_cube() -> None:
    x = lt.tensor([2.0], requires_grad=True)
    (g,) = lt.autograd.grad((x**3).sum(), x, create_graph=True)
    (h,) = lt.autograd.grad(g.sum(), x)
    assert g.item() == pytest.approx(12)
    assert h.item() == pytest.approx(12)


def test_views_and_arrays_share_changes() -> None:
    a = lt.zeros(2, 3)
    row, column, array = a[0], a[:, 1], a.numpy()
    row += 1
    column.fill_(5)
    np.testing.assert_array_equal(array, [[1, 5, 1], [0, 5, 0]])
    array[1, 2] = 7
    assert a[1, 2].item() == 7
    assert row.tolist() == [1, 5, 1]


def test_values_seen_by_the_graph_survive_assignment() -> None:
    w = lt.tensor([3.0], requires_grad=True)
    y = w * w
    with lt.no_grad():
        w.fill_(100.0)
    y.backward()
    assert w.grad.item() == 6  # PyTorch refuses; the value is that of the time of use


def test_save_refuses_code(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="state_dict"):
        lt.save(lt.nn.Linear(1, 1), tmp_path / "model.pt")
    path = tmp_path / "pickled.pt"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(RuntimeError, match="pickled"):
        lt.load(path)


def test_state_dict_round_trip(tmp_path: Path) -> None:
    model = lt.nn.Sequential(lt.nn.Linear(2, 3), lt.nn.BatchNorm1d(3))
    lt.save(model.state_dict(), tmp_path / "m.pt")
    other = lt.nn.Sequential(lt.nn.Linear(2, 3), lt.nn.BatchNorm1d(3))
    assert str(other.load_state_dict(lt.load(tmp_path / "m.pt"))).startswith("<All")
    x = lt.randn(4, 2)
    assert lt.equal(model.eval()(x), other.eval()(x))


def test_same_seed_same_numbers() -> None:
    def draw() -> list[Any]:
        lt.manual_seed(3)
        return [
            lt.randn(3).tolist(),
            lt.randperm(5).tolist(),
            lt.nn.Linear(2, 2).weight.tolist(),
            lt.nn.functional.dropout(lt.ones(8)).tolist(),
        ]

    assert draw() == draw()


def test_dropout_keeps_the_mean() -> None:
    lt.manual_seed(0)
    y = lt.nn.Dropout(0.3)(lt.ones(100, 100))
    assert y.mean().item() == pytest.approx(1, abs=0.02)
    assert (y == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_reads_every_row_once(workers: int) -> None:
    data = lt.utils.data
    loader = data.DataLoader(
        data.TensorDataset(lt.arange(10), lt.arange(10.0)), 4, True, num_workers=workers
    )
    seen = [int(v) for x, _ in loader for v in x]
    assert sorted(seen) == list(range(10))
    assert len(loader) == 3


def test_absent_names_say_so() -> None:
    for place in (lt, lt.nn, lt.optim, lt.nn.functional):
        with pytest.raises(AttributeError, match="does not have 'NoSuchThing'"):
            place.NoSuchThing  # noqa: B018


def test_programs_can_import_from_paths_without_a_file():
    for path, name in {
        "autograd.functional": "jacobian",
        "backends.cudnn": "benchmark",
        "cuda": "is_available",
        "func": "grad",
        "linalg": "norm",
        "nn.modules": "Linear",
        "nn.parallel": "DataParallel",
        "nn.utils.rnn": "pad_sequence",
        "utils.data.dataset": "random_split",
        "utils.data.sampler": "SubsetRandomSampler",
    }.items():
        module = importlib.import_module(f"lamella.torch.{path}")
        assert hasattr(module, name), path
