"""Entries by their sizes, and probes that move several tensors at once."""

import numpy as np
import pytest
from gradient_oracle import claims, points, sizes
from gradient_oracle.called import Called
from gradient_oracle.errors import ServerFailure

from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.splitmix import positive_signs, seed_of


@pytest.mark.parametrize(
    ("x", "gradient", "number"),
    [
        (4.0, 4.0, 0),
        (2.0**-8, 4.0, 6),  # e(M) - e(v) = 10
        (2.0**-7, 4.0, 0),
        (4.0, -(2.0**-18), 2),
        (0.0, 4.0, 30),
        (4.0, 0.0, 5),
        (5e-324, 2.0**-60, 28),
    ],
)
def test_the_class_of_an_entry_is_that_of_the_contract(x, gradient, number):
    found = sizes.numbers(np.array([4.0, x]), np.array([-4.0, gradient]))
    assert found.tolist() == [0, number]


def test_a_class_is_described_by_its_own_entries():
    x, gradient = np.array([2.0, 1e-9, -3.0, 3e-9]), np.array([1.0, 5.0, -2.0, 0.0])
    told = sizes.describe(x, gradient, sizes.numbers(x, gradient))
    assert [(m.number, m.count, m.first) for m in told] == [(0, 2, 0), (18, 1, 1), (23, 1, 3)]
    assert (told[0].largest, told[0].mean_square) == (3.0, 6.5)
    assert (told[0].gradient_largest, told[0].gradient_norm) == (2.0, np.sqrt(5.0))


def test_entries_of_one_size_need_no_classes():
    entries = np.linspace(1, 100, 50)
    assert sizes.describe(entries, entries, sizes.numbers(entries, entries)) == []


def test_a_selection_moves_parts_of_several_tensors_each_by_its_scale():
    x = {"a": np.array([1.0, 1e-6, 2.0]), "b": np.zeros((2, 2)), "c": np.ones(3)}
    gradient = {"a": np.ones(3), "b": np.full((2, 2), 3.0), "c": np.ones(3)}
    seen = []
    keep = Called(lambda p: seen.append({k: v.copy() for k, v in p.items()}) or 0.0)
    point = points.Point(keep, x)
    slopes = claims.Gradient(gradient, point)
    assert [len(told.classes) for told in claims.describe(point, slopes)] == [2, 0, 0]
    parts = [pb.Part(tensor=0, scale=0.5, classes=[12]), pb.Part(tensor=1, scale=4.0)]
    probe = pb.Probe(seed=7, step=0.25, selection=0)
    move = claims.move_of(probe, [pb.Selection(parts=parts)], slopes)
    beside = point.beside(move)
    with point.moved(move):
        point.value()
    assert {name: v.tolist() for name, v in beside.items()} == {
        name: v.tolist() for name, v in seen[0].items()
    }
    assert "`a`, `b`" in point.told(move)
    signs = [np.where(positive_signs(seed_of(7, k), 0, n), 1.0, -1.0) for k, n in ((0, 3), (1, 4))]
    assert seen[0]["a"].tolist() == [1.0, 1e-6 + 0.125 * signs[0][1], 2.0]
    assert seen[0]["b"].reshape(-1).tolist() == signs[1].tolist()
    assert seen[0]["c"].tolist() == [1.0, 1.0, 1.0]
    assert move.predicted == pytest.approx(0.125 * signs[0][1] + 3 * signs[1].sum())
    assert move.largest == 1.0
    assert [entries.tolist() for entries in point.scratch] == [[1, 1e-6, 2], [0] * 4, [1] * 3]


@pytest.mark.parametrize(("selection", "tensor"), [(1, 0), (0, 1), (0, -1)])
def test_a_selection_that_is_not_there_is_the_servers_fault(selection, tensor):
    slopes = claims.Gradient(np.ones(2), points.Point(Called(np.sum), np.ones(2)))
    told = [pb.Selection(parts=[pb.Part(tensor=tensor, scale=1.0)])]
    with pytest.raises(ServerFailure):
        claims.move_of(pb.Probe(step=1.0, selection=selection), told, slopes)
