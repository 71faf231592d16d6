"""What the README shows is what happens. Run as a program, this writes what happens into it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gradient_oracle
import numpy as np
import pytest
from google.protobuf import json_format
from safetensors.numpy import save_file

from oracle.findings import FindingKind, InconclusiveReason
from oracle.gradcheck.v1 import loss_pb2, loss_pb2_grpc

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")
PYTHON = re.compile(
    r"(```python\n(?P<source>(?:(?!```).)*)```\s*```text\n)(?P<printed>.*?)```", re.DOTALL
)
BLOCKS = re.findall(r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", README, flags=re.DOTALL)
COMMANDS = re.findall(
    r"^(?:\$|- run:) ((?:cc|mkdir|gradient-oracle (?:check|vectors))\b.*)\n((?:[^$`-].*\n)*)",
    README,
    flags=re.MULTILINE,
)

SQUARE = f"""#!{sys.executable}
import sys
print('{{"x": [2.0], "gradient": [4.0]}}', flush=True)
for line in sys.stdin:
    print(float(line.strip("[]\\n")) ** 2, flush=True)
"""


def printed_by(source: str, run_test: Callable[[Callable[..., None]], None]) -> str:
    """Run a block, and the tests that it defines; return what it prints."""
    scope = {"__name__": "readme"}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(source, "README.md", "exec"), scope)  # noqa: S102 - it is our own README
        for name, value in list(scope.items()):
            if name.startswith("test_"):
                run_test(value)
    return out.getvalue()


def without_ties(text: str) -> str:
    """Keep the names alone of tensors that are right, where "yours" and "exact" are one number.

    Which of their entries is the worst is a matter of the rounding of the processor's BLAS.
    """
    row = r"^( +\w+) +\[[\d, ]*\] +(\S+) +\2 +\S+$"
    return re.sub(row, r"\1", text, flags=re.MULTILINE)


@pytest.mark.parametrize(("source", "printed"), BLOCKS)
def test_every_block_runs_and_prints_what_is_shown(source, printed, request):
    """A block may define tests; they are called with the fixture."""
    fixture = "gradient_oracle"
    happened = printed_by(source, lambda test: test(request.getfixturevalue(fixture)))
    assert without_ties(happened.strip()) == without_ties(printed.strip())


@pytest.mark.parametrize(("line", "printed"), COMMANDS)
def test_every_command_runs_and_prints_what_is_shown(line, printed, tmp_path):
    """In a folder that holds the files which the commands name.

    A measured limit depends on the C library's functions, so its digits are not compared.
    """
    for program in ("cc", "protoc"):
        if re.search(rf"\b{program} -", line) and shutil.which(program) is None:
            pytest.skip(f"no {program}")
    for folder in ("tests", "protos"):
        (tmp_path / folder).symlink_to(TOP / folder)
    with gradient_oracle.embedded() as oracle:
        case = oracle.two_layer_net.probe()
        gradient = oracle.two_layer_net.gradient(case.params, case.x, case.labels)
    save_file({n: np.array(v) for n, v in case.params.items()}, tmp_path / "p.safetensors")
    save_file({n: np.array(v) for n, v in gradient.items()}, tmp_path / "g.safetensors")
    (tmp_path / "my_program").write_text(SQUARE, encoding="utf-8")
    (tmp_path / "my_program").chmod(0o755)
    np.save(tmp_path / "x.npy", case.x)
    np.save(tmp_path / "t.npy", case.labels)
    quoted = f"{shlex.quote(sys.executable)} -m oracle"
    done = subprocess.run(
        ["/bin/sh", "-c", re.sub(r"\bgradient-oracle (?=check|vectors)", f"{quoted} ", line)],
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join([str(TOP), str(TOP / "clients/python")]),
            "COLUMNS": "100",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not printed or limitless(done.stdout) == limitless(printed)


def limitless(text: str) -> str:
    return re.sub(r"\de-\d\d", "", text.strip())


def test_the_call_by_hand_is_answered_as_shown():
    """The body and the answer of the grpcurl example, through the same JSON mapping."""
    body = re.search(r"-d '(.*)'", README).group(1)
    shown = json.loads(re.search(r"MeanSquaredError\n(\{.*?\})\n```", README, re.DOTALL).group(1))
    with gradient_oracle.embedded() as oracle, channel(oracle.address) as line:
        request = json_format.Parse(body, loss_pb2.MeanSquaredErrorRequest())
        response = loss_pb2_grpc.LossServiceStub(line).MeanSquaredError(request, timeout=10)
    assert json_format.MessageToDict(response) == shown


def channel(address: str):
    import grpc

    return grpc.insecure_channel(address)


def test_the_methods_in_the_table_are_those_of_the_client():
    """The table has every public method, and no other."""
    section = README.partition("## Functions")[2].partition("\n## ")[0]
    first = re.findall(r"^\| (`.*?`) \|", section, flags=re.MULTILINE)
    shown, net = set(), ""
    for name in re.findall(r"`([\w.]+)`", " ".join(first)):
        net = name.partition(".")[0] if "." in name and not name.startswith(".") else net
        shown.add(net + name if name.startswith(".") else name)
    with gradient_oracle.embedded() as oracle:
        public = {name for name in dir(oracle) if not name.startswith("_")}
        nets = {"simple_net", "two_layer_net"}
        methods = {f"{net}.{m}" for net in nets for m in dir(getattr(oracle, net)) if m[0] != "_"}
    plumbing = {"address", "close", "connection", "info", "self_test"}
    expected = (public - nets - plumbing) | {m for m in methods if not m.endswith(".connection")}
    assert shown == expected


def test_the_figures_of_speed_are_those_that_were_measured():
    """Each row of the README is a row of RESULTS.md, which a command writes."""
    measured = (TOP / "tests/benchmarks/RESULTS.md").read_text(encoding="utf-8")
    row = re.compile(r"^\| ([a-z].*?)(?:, one core)? \| (.*?) \| (.*?) \|", re.MULTILINE)
    section = README.partition("## Speed")[2].partition("\n## ")[0].replace("`", "")
    rows = row.findall(section)
    assert len(rows) == 6
    assert set(rows) <= set(row.findall(measured))


def test_the_table_of_findings_is_complete():
    """Every code is explained, and no code is explained that does not exist."""
    section = README.partition("## Finding codes")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)) == set(FindingKind)


def test_the_reasons_of_an_inconclusive_verdict_are_complete():
    """Every reason is explained, and no other."""
    section = README.partition("### Inconclusive")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)) == set(
        InconclusiveReason
    )


if __name__ == "__main__":
    (TOP / "README.md").write_text(
        PYTHON.sub(
            lambda block: f"{block[1]}{printed_by(block['source'], lambda _: None)}```", README
        ),
        encoding="utf-8",
    )
