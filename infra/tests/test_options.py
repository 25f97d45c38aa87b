"""What an organisation may require: its own key, network, role boundary and partition."""

import json
import re
import subprocess
import sys
from pathlib import Path

import cfnlint.data.schemas.providers
import parliament
import pytest
from calls import SERVICES, crates_of_functions
from stack import FUNCTIONS, INFRA, Stack, read
from test_permissions import listed, statements
from test_template import TEMPLATES

KEY = "arn:aws:kms:us-east-1:123456789012:key/11112222-3333-4444-5555-666677778888"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
NETWORK = {"SubnetIds": "subnet-11111111,subnet-22222222", "SecurityGroupIds": "sg-11111111"}
RUNBOOK = (INFRA / "README.md").read_text()


@pytest.fixture(scope="module")
def required():
    """The stack with everything that an organisation may require."""
    stack = Stack("required", KeyArn=KEY, PermissionsBoundary=BOUNDARY, **NETWORK)
    yield stack
    stack.close()


def of_type(stack, kind):
    found = {name: stack.properties(name) for name, r in stack.template["Resources"].items() if r["Type"] == kind}
    assert found
    return found


def test_everything_that_is_kept_is_encrypted_with_the_given_key(required):
    for properties in of_type(required, "AWS::DynamoDB::Table").values():
        assert properties["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}
    for kind, key in (("AWS::SQS::Queue", "KmsMasterKeyId"), ("AWS::SNS::Topic", "KmsMasterKeyId"), ("AWS::Logs::LogGroup", "KmsKeyId")):
        for name, properties in of_type(required, kind).items():
            assert properties[key] == KEY, name
            assert "SqsManagedSseEnabled" not in properties, "SQS takes one or the other"
    for properties in of_type(required, "AWS::S3::Bucket").values():
        [rule] = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}


def test_without_a_key_aws_keys_are_used(observing):
    for name, properties in of_type(observing, "AWS::SQS::Queue").items():
        assert properties["SqsManagedSseEnabled"] is True and "KmsMasterKeyId" not in properties, name
    for name in ("UseKey", "UseNetwork"):
        assert not observing.exists(name)


@pytest.mark.parametrize("role", [f"{function}Role" for function in FUNCTIONS] + ["SchedulerRole"])
def test_whoever_reads_or_writes_may_use_the_key(required, role):
    uses = [s for s in statements(required, role) if any(action.startswith("kms:") for action in listed(s["Action"]))]
    assert [use["Resource"] for use in uses] == [KEY]
    assert {"kms:Decrypt", "kms:GenerateDataKey"} <= set(uses[0]["Action"])
    document = json.dumps({"Version": "2012-10-17", "Statement": uses})
    assert not parliament.analyze_policy_string(document).findings


def test_the_runbook_has_the_policy_that_services_need():
    """EventBridge and CloudWatch send to queues and the topic, and CloudWatch Logs encrypts, each in its own name."""
    key = RUNBOOK.split("### Your own key")[1].split("\n### ")[0]
    [policy] = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", key, re.S)]
    allowed = [principal for s in policy["Statement"] for principal in listed(s["Principal"]["Service"])]
    assert allowed == ["events.amazonaws.com", "cloudwatch.amazonaws.com", "logs.us-east-1.amazonaws.com"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_run_in_the_given_network(required, observing, function):
    assert required.properties(function)["VpcConfig"] == {
        "SubnetIds": NETWORK["SubnetIds"].split(","),
        "SecurityGroupIds": [NETWORK["SecurityGroupIds"]],
    }
    assert "VpcConfig" not in observing.properties(function)
    may = {action for statement in statements(required, f"{function}Role") for action in listed(statement["Action"])}
    assert {"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface"} <= may


def test_the_runbook_lists_the_endpoints_of_every_service_that_the_functions_call():
    section = RUNBOOK.split("### Your own network")[1].split("\n#")[0]
    listed_there = set(re.findall(r"`([a-z0-9.]+)`", section))
    called = {SERVICES.get(crate, crate) for crate in crates_of_functions()} | {"sts"}
    endpoints = {{"ecr": "ecr.api"}.get(service, service) for service in called}
    assert endpoints <= listed_there, endpoints - listed_there
    assert listed_there - endpoints == set(), "nobody pays for an endpoint that is not needed"


@pytest.mark.parametrize("path", TEMPLATES)
def test_every_role_has_the_boundary(path):
    for name, resource in read(path)["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            assert resource["Properties"]["PermissionsBoundary"]["Fn::If"][0] == "HasBoundary", name


def test_the_boundary_is_the_given_one(required):
    for name, properties in of_type(required, "AWS::IAM::Role").items():
        assert properties["PermissionsBoundary"] == BOUNDARY, name


# Pull times.


@pytest.mark.parametrize("path", ["template.yaml", "member.yaml"])
def test_no_role_of_patchwaves_moves_a_pull_time(path):
    resources = read(path)["Resources"]
    readers = set()
    for name, resource in resources.items():
        if '"ecr:BatchGetImage"' in json.dumps(resource) and resource["Type"].startswith("AWS::IAM::"):
            readers |= {name} if resource["Type"] == "AWS::IAM::Role" else {role["Ref"] for role in resource["Properties"]["Roles"]}
    excluded = [r["Properties"]["PrincipalArn"] for r in resources.values() if r["Type"] == "AWS::ECR::PullTimeUpdateExclusion"]
    assert sorted(arn["Fn::GetAtt"][0] for arn in excluded) == sorted(readers)
    assert path == "member.yaml" or readers == {f"{function}Role" for function in FUNCTIONS}


# Partitions.

# A Region of each partition of which cfn-lint knows the resource types, and where AWS Signer is missing.
PARTITIONS = ["us-east-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1"]
WITHOUT_SIGNER = ["cn-north-1"]


def test_every_partition_that_cfn_lint_knows_is_linted():
    known = {path.stem for path in Path(cfnlint.data.schemas.providers.__path__[0]).glob("*.json")} - {"sam"}

    def partition(region):
        return re.sub(r"-[a-z]+-\d$", "", region) if region.startswith(("us-gov", "us-iso", "eu-iso", "eusc")) else region.startswith("cn")

    assert {partition(region) for region in known} == {partition(region) for region in PARTITIONS}


@pytest.mark.parametrize("region", PARTITIONS)
def test_the_templates_can_be_deployed_in_every_partition(region):
    paths = [INFRA / path for path in TEMPLATES if region not in WITHOUT_SIGNER or "signing" not in path]
    command = [Path(sys.executable).parent / "cfn-lint", "--regions", region, "--", *paths]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("path", TEMPLATES)
def test_no_template_names_a_partition(path):
    text = re.sub(r"^\s*#.*$", "", (INFRA / path).read_text(), flags=re.M)
    text = re.sub(r"^\s*AllowedPattern:.*$", "", text, flags=re.M)
    assert "arn:aws" not in text
    # The names of services are the same in every partition; hosts are not.
    hosts = set(re.findall(r"([\w.$-]*\.amazonaws\.\w+)", text))
    assert all(re.fullmatch(r"[a-z0-9-]+\.amazonaws\.com", host) for host in hosts), hosts


# Environment variables.

# What shows the environment variables of what runs.
SHOWS_VARIABLES = {
    "batch:DescribeJobDefinitions",
    "ecs:DescribeTaskDefinition",
    "lambda:GetFunction",
    "lambda:ListFunctions",
    "lambda:ListVersionsByFunction",
}


@pytest.mark.parametrize("path", ["template.yaml", "member.yaml"])
def test_what_shows_environment_variables_is_allowed_by_a_parameter_alone(path):
    template = read(path)
    assert template["Parameters"]["ReadDefinitions"]["Default"] == "yes"

    def actions(node):
        """Returns the actions that are allowed where the parameter says no."""
        if isinstance(node, list):
            return set().union(*map(actions, node)) if node else set()
        if not isinstance(node, dict):
            return set()
        if "Fn::If" in node and node["Fn::If"][0] == "ReadsDefinitions":
            return actions(node["Fn::If"][2])
        own = node.get("Action", []) if node.get("Effect") == "Allow" else []
        own = {own} if isinstance(own, str) else set(own)
        return own | actions(list(node.values()))

    allowed = actions(list(template["Resources"].values()))
    assert "lambda:ListAliases" in allowed and "ecs:DescribeTasks" in allowed
    assert not allowed & SHOWS_VARIABLES
    assert all(json.dumps(template).count(f'"{action}"') == 1 for action in SHOWS_VARIABLES)
