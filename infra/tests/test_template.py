"""Checks of the templates that need no deployment."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import cfn_guard_rs
import pytest
import yaml
from stack import FUNCTIONS, INFRA, ROOT, read, transformed

sys.path.insert(0, str(INFRA))

import measure  # noqa: E402

TEMPLATES = sorted(
    str(path.relative_to(INFRA))
    for path in INFRA.rglob("*.yaml")
    if not path.is_relative_to(INFRA / ".aws-sam") and "AWSTemplateFormatVersion" in path.read_text()
)

# The sample that kubectl reads, and CloudFormation does not.
KUBERNETES = INFRA / "samples/cluster-role.yaml"


@pytest.mark.parametrize("folder", [ROOT, INFRA], ids=["root", "infra"])
def test_cfn_lint_finds_nothing(folder):
    """As a person runs it on every YAML file; .cfnlintrc.yaml includes hints."""
    paths = [str(path.relative_to(folder)) for path in sorted([INFRA / path for path in TEMPLATES] + [KUBERNETES])]
    command = [Path(sys.executable).parent / "cfn-lint", *paths]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_both_settings_of_cfn_lint_are_the_same():
    settings = [yaml.safe_load((folder / ".cfnlintrc.yaml").read_text()) for folder in (ROOT, INFRA)]
    for setting in settings:
        for key in ("templates", "ignore_templates"):
            setting[key] = [path.removeprefix("infra/") for path in setting[key]]
    assert settings[0] == settings[1]


def test_the_cluster_role_lists_what_the_survey_lists_and_nothing_else():
    role, binding = yaml.safe_load_all(KUBERNETES.read_text())
    assert [part["apiVersion"] for part in (role, binding)] == ["rbac.authorization.k8s.io/v1"] * 2
    allowed = set()
    for rule in role["rules"]:
        assert set(rule) == {"apiGroups", "resources", "verbs"} and rule["verbs"] == ["list"]
        allowed |= {(group, resource) for group in rule["apiGroups"] for resource in rule["resources"]}
    source = "".join(path.read_text() for path in (ROOT / "shared/aws/src/survey/kubernetes").glob("*.rs"))
    asked = re.findall(r'"/(?:api|apis/([\w.]+))/v1\w*/(\w+)"', source)
    assert allowed == set(asked)
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == (role["kind"], role["metadata"]["name"])
    [subject] = binding["subjects"]
    assert subject == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "patchwave-inventory"}


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
    assert sorted(path.name for path in (ROOT / "functions").iterdir() if path.is_dir()) == sorted(FUNCTIONS.values())


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
