"""What `patchwave registry` prints: linted as CloudFormation, parsed as Terraform."""

import json
import pathlib
import subprocess
import sys

import hcl2

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures/registry"


def test_the_template_passes_the_linter():
    linter = pathlib.Path(sys.executable).with_name("cfn-lint")
    ran = subprocess.run([linter, "--region", "us-east-1", "--", FIXTURES / "registry.json"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    resources = json.loads((FIXTURES / "registry.json").read_text())["Resources"].values()
    kept = [one for one in resources if one["Type"] == "AWS::ECR::Repository"]
    assert kept and all(one["DeletionPolicy"] == one["UpdateReplacePolicy"] == "Retain" for one in kept)


def test_the_configuration_is_terraform():
    text = (FIXTURES / "registry.tf").read_text()
    parsed = hcl2.loads(text)
    kinds = {kind.strip('"') for resource in parsed["resource"] for kind in resource if not kind.startswith("__")}
    assert kinds == {
        "aws_ecr_pull_through_cache_rule",
        "aws_ecr_registry_scanning_configuration",
        "aws_ecr_replication_configuration",
        "aws_ecr_repository",
        "aws_ecr_repository_creation_template",
        "aws_ecr_repository_policy",
    }
