"""Wrong gradients on purpose: the oracle sees each that its detection limit lets it see."""

import gradient_oracle
import grpc
import pytest
from click.testing import CliRunner

from oracle.__main__ import main
from oracle.checking import self_test
from oracle.gradcheck.v1 import self_test_pb2, self_test_pb2_grpc
from oracle.values import InvalidInput
from oracle.wire import self_test as wire


@pytest.mark.parametrize("dtype", self_test.DTYPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_visible_bug_fails_and_no_correct_gradient_does(dtype, seed):
    """A pass is worth as much as the bugs that would not have passed."""
    result = self_test.run(dtype=dtype, seed=seed)
    assert result.wrong > 50
    assert result.detected == result.wrong
    assert result.false_alarms == 0


@pytest.mark.parametrize("dtype", self_test.DTYPES)
def test_on_small_cases_bugs_are_named_rightly(dtype):
    """At least 95 of 100 failures are named rightly, at most 1 wrongly."""
    results = [self_test.run(dtype=dtype, seed=seed) for seed in range(2)]
    detected = sum(result.detected for result in results)
    assert sum(result.named for result in results) >= 0.95 * detected
    assert sum(result.misnamed for result in results) <= 0.01 * detected


@pytest.mark.parametrize("sizes", [(1, 5, 4, 3), (2, 3, 2, 2), (4, 4, 4, 4), (6, 3, 3, 3)])
def test_where_sizes_are_equal_or_one_no_bug_gets_a_wrong_name(sizes):
    """Some bugs give the same numbers there, and some give the right ones."""
    result = self_test.run(*sizes, seed=4)
    assert result.detected == result.wrong
    assert (result.misnamed, result.false_alarms) == (0, 0)


def test_a_check_that_always_passes_is_caught():
    """The self-test itself can fail."""
    honest = self_test.run(seed=0)

    def lenient(parameters, x, t, gradient):
        from dataclasses import replace

        from oracle.checking import closed_form
        from oracle.values import Verdict

        report = closed_form.check_two_layer_net(parameters, x, t, gradient)
        return replace(report, verdict=Verdict.PASS, findings=())

    assert self_test.run(seed=0, check=lenient).detected == 0 < honest.detected


def test_a_case_that_cannot_be_made_is_refused_with_its_argument():
    """A size of zero has no gradient; a size beyond all memory has no answer."""
    for argument, value in {
        "batch_size": 0,
        "input_size": -1,
        "hidden_size": 10**12,
        "dtype": "int8",
        "weight_scale": float("nan"),
    }.items():
        with pytest.raises(InvalidInput, match=argument):
            self_test.run(**{argument: value})
    with pytest.raises(InvalidInput, match="4000000"):
        self_test.run(input_size=4000, hidden_size=4000)


def test_a_self_test_can_be_stopped():
    """A caller that left wants no answer."""

    class Left(Exception):
        pass

    def leave():
        raise Left

    with pytest.raises(Left):
        self_test.run(checkpoint=leave)


@pytest.fixture(scope="module")
def oracle():
    with gradient_oracle.embedded() as client:
        yield client


def test_the_answer_over_a_socket_is_that_of_the_function(oracle):
    """The wire is a conversion."""
    options = {"batch_size": 2, "dtype": "float32", "seed": 2**64 - 1, "weight_scale": 0.5}
    assert oracle.self_test(**options) == self_test.run(**options)


def test_what_is_unset_in_a_request_is_what_the_contract_says(oracle):
    """The defaults of the RPC are those of the function."""
    with grpc.insecure_channel(oracle.address, [("grpc.enable_http_proxy", 0)]) as channel:
        stub = self_test_pb2_grpc.SelfTestServiceStub(channel)
        answer = stub.RunSelfTest(self_test_pb2.RunSelfTestRequest())
    assert wire.decode(answer) == self_test.run()
    assert (answer.detected, answer.false_alarms) == (answer.wrong_gradients, 0)


def test_a_request_that_makes_no_case_is_refused_over_a_socket(oracle):
    """The message of the function reaches the user."""
    with pytest.raises(gradient_oracle.InvalidRequest, match="hidden_size"):
        oracle.self_test(hidden_size=0)
    with pytest.raises(gradient_oracle.InvalidRequest, match="float32"):
        oracle.self_test(dtype="int64")
    with pytest.raises(gradient_oracle.InvalidRequest, match="float32"):
        oracle.self_test(dtype="complex")


def test_the_command_asks_a_server(oracle):
    """With an address the one that runs there, without one its own."""
    for address in (["--address", oracle.address], []):
        result = CliRunner().invoke(main, ["self-test", "--batch", "4", "--rows", *address])
        assert result.exit_code == 0, result.output
        assert "false alarms              0 of 5" in result.output
        assert "matrix products" in result.output


def test_the_command_says_what_is_wrong_with_its_options(oracle):
    """A usage error is no failed self-test."""
    options = ["--dtype", "int64", "--address", oracle.address]
    result = CliRunner().invoke(main, ["self-test", *options])
    assert result.exit_code == 3
    assert "float32" in result.output


def test_a_server_that_is_not_there_is_no_failed_self_test():
    """1 would say that a wrong gradient passed."""
    result = CliRunner().invoke(main, ["self-test", "--address", "127.0.0.1:1"])
    assert (result.exit_code, "no oracle at 127.0.0.1:1" in result.output) == (3, True)


def test_a_bug_that_does_not_show_is_not_counted():
    """In a batch of one the sum is the mean."""
    names = {row.name for row in self_test.run(batch_size=1).rows}
    assert "sum over the batch" not in names
    assert "no sigmoid derivative" in names
