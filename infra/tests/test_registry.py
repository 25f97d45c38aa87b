"""The stack of an account that has a registry: who may take its role, what the role allows, and what it sends to the hub."""

import json

import parliament
import pytest
from calls import ACTIONS, calls_of
from pattern import matches
from stack import ACCOUNT, Stack
from test_events import LET_THROUGH, MEMBERS, QUEUES, sample
from test_member import BUS, INVENTORY, STARTERS
from test_permissions import WITHOUT_RESOURCE, listed, statements

HUB_ROLES = [*STARTERS, INVENTORY]


@pytest.fixture(scope="module")
def registry():
    stack = Stack("registry", "registry.yaml", HubBusArn=BUS, HubRoleArns=",".join(HUB_ROLES), ExternalId="example")
    yield stack
    stack.close()


# The rules, which are named as the hub's own.
RULES = ["BasicScans", "Copies", "Findings", "InspectorScans", "Pushes"]


def test_only_the_hubs_functions_may_take_the_role_and_only_with_the_external_id(registry):
    document = registry.client("iam").get_role(RoleName="patchwave-registry")["Role"]["AssumeRolePolicyDocument"]
    [statement] = document["Statement"]
    assert listed(statement["Principal"]["AWS"]) == HUB_ROLES
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": "example"}}


def test_the_role_may_do_what_the_adapters_of_a_registry_do(registry):
    # How a registry is scanned is asked in the home registry alone.
    of_home = {("ecr", "GetRegistryScanningConfiguration"), ("inspector2", "GetConfiguration")}
    made = (calls_of("ecr") | calls_of("inspector")) - of_home
    needed = set().union(*(ACTIONS.get(call, {":".join(call)}) for call in made))
    allowed = {action for statement in statements(registry, "RegistryRole") for action in listed(statement["Action"])}
    assert allowed == needed
    assert not {action for action in allowed if action.split(":")[1].startswith(("Put", "Delete", "Tag", "Create"))}


@pytest.mark.parametrize("role", ["RegistryRole", "ForwardRole"])
def test_nothing_is_wild_and_parliament_agrees(registry, role):
    for statement in statements(registry, role):
        if "*" in listed(statement["Resource"]):
            assert set(listed(statement["Action"])) <= WITHOUT_RESOURCE
            continue
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        assert not parliament.analyze_policy_string(document).findings, statement


@pytest.mark.parametrize("rule", RULES)
def test_what_is_forwarded_is_what_the_hub_reads_of_its_own_registry(registry, enforcing, rule):
    assert registry.properties(rule)["EventPattern"] == enforcing.properties(rule)["EventPattern"]


def test_every_rule_for_registries_forwards(registry):
    made = [name for name, resource in registry.template["Resources"].items() if resource["Type"] == "AWS::Events::Rule"]
    assert sorted(made) == RULES == sorted(set(QUEUES) - {*MEMBERS, "Executions"})


def test_the_hub_takes_by_the_same_queue_what_is_forwarded(enforcing):
    takes = {rule: enforcing.properties(rule)["EventPattern"] for rule in MEMBERS}
    for name, rules in LET_THROUGH.items():
        for rule in set(rules) & set(RULES):
            assert [QUEUES[taken] for taken, pattern in takes.items() if matches(pattern, sample(name))] == [QUEUES[rule]]


@pytest.mark.parametrize("rule", RULES)
def test_where_a_rule_delivers(registry, rule):
    [target] = registry.properties(rule)["Targets"]
    assert target["Arn"] == BUS
    assert target["RoleArn"] == registry.arn("ForwardRole")
    assert target["DeadLetterConfig"]["Arn"] == registry.arn("Unforwarded")
    assert listed(statements(registry, "ForwardRole")[0]["Resource"]) == [BUS]


def test_another_region_of_the_hubs_account_forwards_and_needs_no_role():
    stack = Stack("own-registry", "registry.yaml", HubBusArn=BUS, ExternalId="example")
    try:
        made = {name for name in stack.template["Resources"] if stack.exists(name)}
        assert made == {*RULES, "ForwardRole", "Unforwarded", "UnforwardedPolicy"}
    finally:
        stack.close()


def test_a_stack_set_makes_the_role_in_one_region():
    stack = Stack(
        "far", "registry.yaml", HubBusArn=BUS, HubRoleArns=",".join(HUB_ROLES), ExternalId="example", RolesRegion="eu-west-1"
    )
    try:
        assert not stack.exists("RegistryRole")
        assert stack.properties("Reads")["PrincipalArn"] == f"arn:aws:iam::{ACCOUNT}:role/patchwave-registry"
    finally:
        stack.close()
