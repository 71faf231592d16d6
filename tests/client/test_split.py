"""An operator of several outputs of one name, in a net and by itself."""

from __future__ import annotations

import gradient_oracle
import numpy as np
import pytest


def net(ops, x):
    first, second = ops.Split(x, num_outputs=2, axis=1)
    return ops.ReduceSum(ops.Mul(ops.Exp(first), second), keepdims=0)


def test_the_parts_of_a_tensor_are_used_in_a_net_and_checked_by_name():
    x = np.random.default_rng(0).normal(size=(3, 4))
    with gradient_oracle.embedded() as oracle:
        grown, second = np.exp(x[:, :2]), x[:, 2:]
        right = np.concatenate([grown * second, grown], axis=1)
        assert oracle.check(net, {"x": x}, {"x": right}).passed
        failed = oracle.check(net, {"x": x}, {"x": np.roll(right, 2, axis=1)})
        assert [finding.kind for finding in failed.findings] == ["wrong_part"]
        c = {"outputs_0": x[:, :1], "outputs_1": x[:, 1:]}
        report = oracle.check(
            "Split",
            {"input": x, "split": np.array([1, 3])},
            {"input": x},
            cotangent=c,
            attributes={"axis": 1},
        )
        assert report.passed
        with pytest.raises(gradient_oracle.OracleError, match="hold 2 names"):
            oracle.value(lambda ops, x: ops.Split(x, num_outputs=2, outputs=3)[0], {"x": x})


def test_a_list_of_inputs_is_diagnosed_as_each_of_them():
    a, b = np.random.default_rng(1).normal(size=(2, 3, 2))
    with gradient_oracle.embedded() as oracle:
        c = np.random.default_rng(2).normal(size=(3, 4))
        parts = dict(zip(("inputs_0", "inputs_1"), np.split(c, 2, axis=1)[::-1], strict=True))
        report = oracle.check(
            lambda ops, inputs_0, inputs_1: ops.Concat(inputs_0, inputs_1, axis=1),
            {"inputs_0": a, "inputs_1": b},
            parts,
            cotangent=c,
        )
        assert {finding.kind for finding in report.findings} <= {"wrong_part", "swapped_tensors"}
        twice = {name: 3.0 * part for name, part in zip(parts, np.split(c, 2, axis=1), strict=True)}
        twice["inputs_1"] = twice["inputs_1"] * 2.0
        report = oracle.check(
            lambda ops, inputs_0, inputs_1: ops.Concat(inputs_0, inputs_1, axis=1),
            {"inputs_0": a, "inputs_1": b},
            twice,
            cotangent=c,
        )
        assert not report.passed
