"""lamella.tree against Keras's and against what is written down here."""

from __future__ import annotations

import collections
from typing import Any

import pytest

from lamella import tree

Point = collections.namedtuple("Point", ["x", "y"])

STRUCTURES: list[Any] = [
    1,
    None,
    "text",
    [],
    (),
    {},
    [1],
    [[1]],
    [None, 2],
    (1, [2, (3, 4)]),
    {"b": 1, "a": [2, 3]},
    {"b": {"c": None, "d": 1}, "a": ()},
    Point(1, [2, 3]),
    [Point(x=None, y={"k": 4}), (5,)],
    collections.OrderedDict([("b", 1), ("a", 2)]),
    collections.defaultdict(list, {"z": 1, "a": [2]}),
    collections.deque([1, [2]]),
    {2: "a", 1: "b"},
]


@pytest.fixture(scope="module")
def reference() -> Any:
    return pytest.importorskip("keras", exc_type=ImportError).tree


def double(x: Any) -> Any:
    return None if x is None else x * 2


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_functions_of_one_structure_equal_keras(reference: Any, structure: Any) -> None:
    assert tree.is_nested(structure) == reference.is_nested(structure)
    leaves = tree.flatten(structure)
    assert leaves == reference.flatten(structure)
    assert tree.flatten_with_path(structure) == reference.flatten_with_path(structure)
    for name, arguments in (
        ("map_structure", (double, structure)),
        ("pack_sequence_as", (structure, list(range(len(leaves))))),
        ("lists_to_tuples", (structure,)),
        ("map_shape_structure", (str, structure)),
        ("traverse", (lambda x: "s" if isinstance(x, str) else None, structure)),
        (
            "traverse",
            (lambda x: tree.MAP_TO_NONE if x == 1 else None, structure, False),
        ),
        ("traverse", (lambda x: 0 if isinstance(x, tuple) else None, structure)),
    ):
        got = getattr(tree, name)(*arguments)
        want = getattr(reference, name)(*arguments)
        assert got == want
        assert type(got) is type(want)


@pytest.mark.parametrize("b", STRUCTURES, ids=repr)
@pytest.mark.parametrize("a", STRUCTURES, ids=repr)
def test_comparisons_equal_keras(reference: Any, a: Any, b: Any) -> None:
    for name in ("assert_same_structure", "assert_same_paths"):
        outcome = []
        for module in (tree, reference):
            try:
                getattr(module, name)(a, b)
            except ValueError:
                outcome.append(False)
            else:
                outcome.append(True)
        assert outcome[0] == outcome[1], name


def test_several_structures_are_mapped_together() -> None:
    a, b = {"x": [1, 2], "y": (3,)}, {"y": (30,), "x": [10, 20]}
    assert tree.map_structure(lambda p, q: p + q, a, b) == {"x": [11, 22], "y": (33,)}
    assert tree.map_structure_up_to({"x": 0, "y": 0}, len, a) == {"x": 2, "y": 1}
    assert tree.map_structure(double, [None, 1], none_is_leaf=False) == [None, 2]
    # at every level; Keras on PyTorch sorts the outermost dict only
    assert tree.flatten({"b": {"d": 1, "c": 2}, "a": 0}) == [0, 2, 1]
    seen: list[Any] = []
    tree.traverse(seen.append, [1, {"a": 2}])
    assert seen == [[1, {"a": 2}], 1, {"a": 2}, 2]


def test_bad_arguments_raise() -> None:
    with pytest.raises(TypeError, match="func must be callable"):
        tree.map_structure(3, [1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one structure"):
        tree.map_structure(double)
    with pytest.raises(ValueError, match="not nested in the same way"):
        tree.map_structure(lambda a, b: a, [1], [1, 2])
    with pytest.raises(ValueError, match="has 2 leaves, got 1"):
        tree.pack_sequence_as([1, 2], [3])
    with pytest.raises(ValueError, match=r"only in `a`: \{\(1,\)\}"):
        tree.assert_same_paths([1, 2], [1])
