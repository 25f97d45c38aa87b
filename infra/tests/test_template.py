"""What can be said of the templates without deploying them."""

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import cfn_guard_rs
import pytest
from stack import FUNCTIONS, INFRA, ROOT, read, transformed

sys.path.insert(0, str(INFRA))

import measure  # noqa: E402

TEMPLATES = sorted(
    str(path.relative_to(INFRA))
    for path in INFRA.rglob("*.yaml")
    if not path.is_relative_to(INFRA / ".aws-sam") and "AWSTemplateFormatVersion" in path.read_text()
)


# The rules of cfn-lint that are waived, and why.
WAIVED = {
    "I3011": "queues and logs go with their stack; what must outlive it, guard's rules name",
}


def test_cfn_lint_has_nothing_to_say():
    """Warnings and hints too."""
    paths = [str(INFRA / path) for path in TEMPLATES]
    command = [Path(sys.executable).parent / "cfn-lint", "--include-checks", "I", "--ignore-checks", *WAIVED, "--", *paths]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("path", TEMPLATES)
def test_guards_rules_hold(path):
    report = cfn_guard_rs.run_checks(transformed(path), (INFRA / "tests/rules.guard").read_text())
    assert not report.not_compliant, report.not_compliant


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_built_is_what_is_named(function):
    """`sam build` runs cargo-lambda with this binary in this folder."""
    template = read("template.yaml")
    resource, everywhere = template["Resources"][function], template["Globals"]["Function"]
    assert resource["Metadata"] == {
        "BuildMethod": "rust-cargolambda",
        "BuildProperties": {"Binary": FUNCTIONS[function]},
    }
    assert (everywhere["Runtime"], everywhere["Handler"]) == ("provided.al2023", "bootstrap")
    workspace = tomllib.loads((INFRA / everywhere["CodeUri"] / "Cargo.toml").read_text())
    crate = f"functions/{FUNCTIONS[function]}"
    assert crate in workspace["workspace"]["members"]
    package = tomllib.loads((ROOT / crate / "Cargo.toml").read_text())
    assert package["package"]["name"] == FUNCTIONS[function]


def test_what_is_measured_is_what_is_deployed():
    assert sorted(measure.FUNCTIONS) == sorted(FUNCTIONS.values())
    assert read("template.yaml")["Globals"]["Function"]["Handler"] == measure.HANDLER


@pytest.mark.parametrize(("entry", "mode", "passes"), [("bootstrap", 0o755, True), ("bootstrap", 0o644, False), ("main", 0o755, False)])
def test_a_package_that_lambda_could_not_start_is_refused(tmp_path, entry, mode, passes):
    package = tmp_path / "bootstrap.zip"
    with zipfile.ZipFile(package, "w") as archive:
        info = zipfile.ZipInfo(entry)
        info.external_attr = mode << 16
        archive.writestr(info, b"")
    if passes:
        assert measure.unpacked(package) == tmp_path / "bootstrap"
    else:
        with pytest.raises(SystemExit):
            measure.unpacked(package)


def test_every_function_of_the_workspace_is_deployed():
    assert sorted(path.name for path in (ROOT / "functions").iterdir()) == sorted(FUNCTIONS.values())


def test_the_defaults_are_arm64_and_observe():
    declared = read("template.yaml")["Parameters"]
    assert declared["Architecture"]["Default"] == "arm64"
    assert declared["Mode"]["Default"] == "observe"
    assert all("Default" in parameter for parameter in declared.values()), "one command asks for nothing"


def test_the_transformed_template_is_small_enough_to_deploy():
    """CloudFormation takes a megabyte from a bucket, and `sam deploy` uploads it there; 500 resources."""
    template = transformed()
    assert len(json.dumps(template)) < 1_000_000
    assert len(template["Resources"]) < 500
