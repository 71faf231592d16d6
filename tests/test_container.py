"""The container files say what the command line takes and what the wheel is made from."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import click
import pytest

from oracle.__main__ import main

TOP = Path(__file__).resolve().parent.parent
MANIFEST = TOP / "docs/kubernetes.yaml"
LOCKS = ("requirements.lock", "requirements-build.lock")
DOCKERFILE = (TOP / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def argv(instruction: str) -> list[str]:
    """Return the command of an instruction, which is in the form of JSON."""
    found = re.search(rf"^{instruction}\b[^\[\n]*(\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found, instruction
    return list(json.loads(found[1]))


def parsed(arguments: list[str]) -> tuple[str, dict[str, object]]:
    """Return the command and its options as the command line reads them, without running it."""
    program, name, *rest = arguments
    assert program == "gradient-oracle"
    with click.Context(main) as context:
        command = main.get_command(context, name)
        return name, command.make_context(name, rest, parent=context).params


def test_the_container_serves_and_is_asked_at_one_port():
    """`docker run IMAGE` serves; what follows the image's name is another command of ours."""
    command, options = parsed([*argv("ENTRYPOINT"), *argv("CMD")])
    assert command == "serve"
    assert options["allow_remote"]
    host, _, port = str(options["address"]).rpartition(":")
    assert host == "0.0.0.0"  # noqa: S104 - the port is published by whoever runs it
    assert re.search(rf"^EXPOSE {port}$", DOCKERFILE, re.MULTILINE)
    health, asked = parsed(argv("HEALTHCHECK"))
    assert (health, asked["address"]) == ("info", f"127.0.0.1:{port}")
    published = (TOP / "compose.yaml").read_text(encoding="utf-8")
    assert f'"127.0.0.1:{port}:{port}"' in published


def test_compose_and_the_manifest_serve_with_options_that_exist():
    """And with limits, a root that nothing writes to, and no privileges."""
    yaml = pytest.importorskip("yaml")
    compose = yaml.safe_load((TOP / "compose.yaml").read_text(encoding="utf-8"))
    service = compose["services"]["gradient-oracle"]
    _, told = parsed(["gradient-oracle", *service["command"]])
    assert told["address"] == "0.0.0.0:50051"
    assert {"mem_limit", "cpus", "pids_limit", "stop_grace_period"} <= {*service}
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])

    _, disruption, deployment = yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8"))
    assert disruption["kind"] == "PodDisruptionBudget"
    assert deployment["spec"]["replicas"] == 2
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    _, options = parsed(["gradient-oracle", *container["args"]])
    assert not options["allow_remote"]
    assert options["tls_certificate"]
    assert options["token_file"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for name, option in (("grpc", "address"), ("health", "health_address")):
        assert str(options[option]).endswith(f":{ports[name]}")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == ports["health"]
    assert pod["terminationGracePeriodSeconds"] > options["grace"] + 10
    secured = container["securityContext"]
    assert secured["readOnlyRootFilesystem"]
    assert not secured["allowPrivilegeEscalation"]
    assert {"memory", "cpu"} <= {*container["resources"]["limits"]}


def test_the_manifest_is_one_of_kubernetes():
    """By the schemas of its own API, without a field that they do not know."""
    validate = pytest.importorskip("kubernetes_validate")
    yaml = pytest.importorskip("yaml")
    for resource in yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")):
        validate.validate(resource, validate.latest_version(), strict=True)


def test_a_flag_that_does_not_exist_would_be_noticed():
    """So would a command."""
    with pytest.raises(click.NoSuchOption):
        parsed(["gradient-oracle", "serve", "--none", "1"])


def test_what_the_wheel_is_made_from_reaches_the_build():
    """And neither the history nor a virtual environment does."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    wanted = [*wanted, "pyproject.toml", project["project"]["readme"]]
    wanted += [*project["project"]["license-files"], *LOCKS]
    nothing, *let_in = (TOP / ".dockerignore").read_text(encoding="utf-8").split()
    assert nothing == "*"
    assert {path.partition("/")[0] for path in wanted} == {
        name.removeprefix("!") for name in let_in if name.startswith("!")
    }


def locked(name: str) -> dict[str, list[str]]:
    """Return the versions of each package in a lock file, all of which have hashes."""
    found: dict[str, list[str]] = {}
    text = (TOP / name).read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if not line.startswith("#"):
            match = re.match(r"([\w.-]+)==([\w.]+)", line)
            assert match, line
            assert "--hash=sha256:" in line
            found.setdefault(match[1], []).append(match[2])
    return found


def test_the_image_is_made_of_what_is_locked():
    """Each requirement of the project is there in a version that it takes, with its hash."""
    requirements = pytest.importorskip("packaging.requirements")
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
    runs = [*project["project"]["dependencies"]]
    runs += project["project"]["optional-dependencies"]["http"]
    for needed, name in (
        (runs, LOCKS[0]),
        (project["build-system"]["requires"], LOCKS[1]),
    ):
        versions = locked(name)
        for text in needed:
            requirement = requirements.Requirement(text)
            assert versions[requirement.name]
            assert all(requirement.specifier.contains(v) for v in versions[requirement.name])
        assert f"--require-hashes -r {name}" in DOCKERFILE
