"""A member's stack: who may take its roles, what the roles allow, and what it sends to the hub."""

import json

import parliament
import pytest
from calls import calls_of
from pattern import matches
from stack import Stack
from test_events import sample, samples
from test_permissions import ENFORCING_ONLY, WITHOUT_RESOURCE, listed, statements

HUB = "111122223333"
BUS = f"arn:aws:events:us-east-1:{HUB}:event-bus/patchwave"
INVENTORY = f"arn:aws:iam::{HUB}:role/patchwave-InventoryRole-EXAMPLE"
STARTERS = [f"arn:aws:iam::{HUB}:role/patchwave-{name}-EXAMPLE" for name in ("ScanCompleteRole", "RebuildFanoutRole")]

@pytest.fixture(scope="module")
def observed():
    names = {"InventoryRoleName": "observed-inventory", "StartRoleName": "observed-start"}
    builds = {"HubBusArn": BUS, "HubStartRoleArns": ",".join(STARTERS)}
    stack = Stack("observed", "member.yaml", HubInventoryRoleArn=INVENTORY, ExternalId="example", **builds, **names)
    yield stack
    stack.close()


@pytest.fixture(scope="module")
def member():
    stack = Stack(
        "member",
        "member.yaml",
        HubInventoryRoleArn=INVENTORY,
        ExternalId="example",
        HubBusArn=BUS,
        HubStartRoleArns=",".join(STARTERS),
        Pipelines="rebuild-*",
        Mode="enforce",
    )
    yield stack
    stack.close()


@pytest.mark.parametrize(("role", "takers"), [("InventoryRole", [INVENTORY]), ("StartRole", STARTERS)])
def test_only_the_hub_may_take_a_role_and_only_with_the_external_id(member, role, takers):
    document = member.client("iam").get_role(RoleName=member.id(role))["Role"]["AssumeRolePolicyDocument"]
    [statement] = document["Statement"]
    assert listed(statement["Principal"]["AWS"]) == takers
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": "example"}}


def allowed(stack, role):
    return {action for statement in statements(stack, role) for action in listed(statement["Action"])}


def test_the_start_role_may_do_what_the_pipelines_adapter_does(member):
    assert allowed(member, "StartRole") == {f"{service}:{call}" for service, call in calls_of("codepipeline")}


def test_a_member_that_observes_lets_nothing_be_started(observed):
    reads = {f"{service}:{call}" for service, call in calls_of("codepipeline")} - ENFORCING_ONLY
    assert allowed(observed, "StartRole") == reads


def test_the_inventory_role_may_do_what_the_survey_does(member):
    assert allowed(member, "InventoryRole") == {f"{service}:{call}" for service, call in calls_of("survey")}


@pytest.mark.parametrize("role", ["InventoryRole", "StartRole", "ForwardRole"])
def test_nothing_is_wild_and_parliament_agrees(member, role):
    for statement in statements(member, role):
        if "*" in listed(statement["Resource"]):
            assert set(listed(statement["Action"])) <= WITHOUT_RESOURCE
            continue
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        assert not parliament.analyze_policy_string(document).findings, statement


def test_what_is_forwarded_is_what_the_hub_takes(member, enforcing):
    forwards = member.properties("Executions")["EventPattern"]
    takes = enforcing.properties("MemberExecutions")["EventPattern"]
    assert forwards["detail"]["pipeline"] == [{"prefix": "rebuild-"}]
    sent = {name for name in samples() if matches(forwards, sample(name))}
    assert sent == {"codepipeline-pipeline-failed", "codepipeline-pipeline-succeeded", "codepipeline-pipeline-superseded"}
    assert all(matches(takes, sample(name)) for name in sent)
    [target] = member.properties("Executions")["Targets"]
    assert target["Arn"] == BUS
    assert listed(statements(member, "ForwardRole")[0]["Resource"]) == [BUS]


def test_another_region_of_the_hubs_account_forwards_and_needs_no_role_to_be_started():
    stack = Stack("own", "member.yaml", HubInventoryRoleArn=INVENTORY, ExternalId="example", HubBusArn=BUS, InventoryRoleName="own")
    try:
        made = {name for name in stack.template["Resources"] if stack.exists(name)}
        assert made == {"InventoryRole", "Executions", "ForwardRole", "Unforwarded", "UnforwardedPolicy"}
    finally:
        stack.close()


def test_an_account_that_builds_nothing_gets_a_role_to_look_and_nothing_else():
    stack = Stack("quiet", "member.yaml", HubInventoryRoleArn=INVENTORY, ExternalId="example", InventoryRoleName="quiet")
    try:
        made = {name for name in stack.template["Resources"] if stack.exists(name)}
        assert made == {"InventoryRole"}
    finally:
        stack.close()
