"""Each function may do what its code does, and nothing else. Every policy names the narrowest resources that it can."""

import ast
import json

import parliament
import pytest
from calls import REACHED_BY, SERVICES, actions_of, calls, calls_of, crates
from stack import FUNCTIONS, read

# What Lambda does with the function's role.
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
POLLS = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
REPORTS_FAILURE = {"sqs:SendMessage"}

# No call of Patchwave's own. With it, S3 says that the hierarchy file is missing, and not that access is denied.
EXPLAINS = {"s3:ListBucket"}

# Only an enforcing stack may.
ENFORCING_ONLY = {"codepipeline:StartPipelineExecution"}

# Only a stack that knows its organisation may.
MEMBERS_ONLY = {
    "organizations:ListAccountsForParent",
    "organizations:ListChildren",
    "organizations:ListRoots",
    "organizations:ListTagsForResource",
    "sts:AssumeRole",
}

# Only a stack that is told the secrets may.
SECRETS_ONLY = {"secretsmanager:GetSecretValue"}

# The actions that take no resource, so that a policy must say "*".
WITHOUT_RESOURCE = {
    "batch:DescribeJobDefinitions",
    "ecr:GetRegistryScanningConfiguration",
    "ecs:DescribeTaskDefinition",
    "ecs:ListClusters",
    "ecs:ListServices",
    # It takes container instances, and Patchwave asks for clusters.
    "ecs:ListTasks",
    "eks:ListClusters",
    "events:ListRules",
    "inspector2:GetClustersForImage",
    "inspector2:GetConfiguration",
    "inspector2:ListCoverage",
    "inspector2:ListFindings",
    "lambda:ListFunctions",
    "organizations:ListRoots",
    "scheduler:ListSchedules",
}

# What parliament finds and the tests allow: the finding, the statement, and the reason.
WAIVED = {
    ("UNKNOWN_ACTION", "ReadHowImagesAreScanned"): "GetClustersForImage is younger than parliament's list; cfn-lint knows it",
    ("RESOURCE_STAR", "ListWhatRuns"): "ListTasks knows container instances, and is asked about clusters",
}


def statements(stack, role):
    """Returns the statements of all of a role's policies, as IAM holds them."""
    iam = stack.client("iam")
    name = stack.id(role)
    documents = [
        iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    ]
    for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        documents.append(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])
    # moto hands a role's own policies back as Python writes them.
    documents = [ast.literal_eval(document) if isinstance(document, str) else document for document in documents]
    return [statement for document in documents for statement in document["Statement"]]


def listed(value):
    return value if isinstance(value, list) else [value]


def allowed(stack, role):
    assert all(statement["Effect"] == "Allow" for statement in statements(stack, role))
    return {action for statement in statements(stack, role) for action in listed(statement["Action"])}


def platforms(function):
    """Returns what Lambda needs to invoke the function, as the template asks."""
    properties = read("template.yaml")["Resources"][function]["Properties"]
    wakes = {event["Type"] for event in properties.get("Events", {}).values()}
    needed = LOGS | EXPLAINS
    if "SQS" in wakes:
        needed |= POLLS
    if "EventInvokeConfig" in properties:
        needed |= REPORTS_FAILURE
    return needed


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_enforcing_function_may_do_what_its_code_does(enforcing, function):
    assert allowed(enforcing, f"{function}Role") == actions_of(FUNCTIONS[function]) | platforms(function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_observing_function_cannot_start_anything(observing, function):
    needed = (actions_of(FUNCTIONS[function]) | platforms(function)) - ENFORCING_ONLY - MEMBERS_ONLY - SECRETS_ONLY
    assert allowed(observing, f"{function}Role") == needed
    assert ENFORCING_ONLY <= actions_of(FUNCTIONS[function])


def test_the_calls_are_really_read_from_the_code():
    made = calls()
    services = {service for calls in made.values() for service, _ in calls}
    assert services == {SERVICES.get(crate, crate) for crate in crates()}
    assert ("ecr", "BatchGetImage") in calls_of("ecr")
    assert calls_of("hierarchy") == {("s3", "GetObject"), ("s3", "ListObjectVersions")}
    for adapter in REACHED_BY:
        assert calls_of(adapter), f"REACHED_BY names {adapter}, which calls nothing"


@pytest.mark.parametrize("role", [f"{function}Role" for function in FUNCTIONS] + ["SchedulerRole"])
def test_nothing_is_wild(enforcing, role):
    for statement in statements(enforcing, role):
        for action in listed(statement["Action"]):
            assert "*" not in action
        for resource in listed(statement["Resource"]):
            if resource == "*":
                assert set(listed(statement["Action"])) <= WITHOUT_RESOURCE


def places(stack, role):
    """Returns where each action may be used."""
    where = {}
    for statement in statements(stack, role):
        for action in listed(statement["Action"]):
            where.setdefault(action, []).extend(listed(statement["Resource"]))
    return where


def test_where_each_action_may_be_used(enforcing):
    """Resource by resource, so that a wider one is a change to this test."""
    account = "us-east-1:123456789012"
    bucket, table = enforcing.id("Bucket"), enforcing.id("Table")
    where = places(enforcing, "RebuildFanoutRole")
    assert where["s3:GetObject"] == where["s3:GetObjectVersion"] == [f"arn:aws:s3:::{bucket}/*"]
    assert where["s3:ListBucketVersions"] == [f"arn:aws:s3:::{bucket}"]
    assert where["s3:ListBucket"] == [f"arn:aws:s3:::{bucket}"]
    assert where["ecr:DescribeImages"] == ["arn:aws:ecr:*:123456789012:repository/*"]
    assert where["codepipeline:StartPipelineExecution"] == ["arn:aws:codepipeline:*:123456789012:rebuild-*"]
    assert where["dynamodb:PutItem"] == [f"arn:aws:dynamodb:{account}:table/{table}"]
    assert where["dynamodb:Query"] == [f"arn:aws:dynamodb:{account}:table/{table}/index/schedule"]
    assert where["sqs:ReceiveMessage"] == where["sqs:SendMessage"] == [enforcing.arn("Changes")]
    assert where["logs:PutLogEvents"] == [f"arn:aws:logs:{account}:log-group:/patchwave/enforcing/rebuild-fanout:log-stream:*"]
    roles = ["arn:aws:iam::*:role/patchwave-registry", "arn:aws:iam::*:role/patchwave-start"]
    assert sorted(where["sts:AssumeRole"]) == roles
    assert where["secretsmanager:GetSecretValue"] == ["arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-AbCdEf"]
    assert where["scheduler:GetSchedule"] == [enforcing.arn("Tick")]
    assert where["scheduler:CreateSchedule"] == [f"arn:aws:scheduler:{account}:schedule/enforcing/*"]
    assert where["iam:PassRole"] == [enforcing.arn("SchedulerRole")]
    where = places(enforcing, "InventoryRole")
    # Any may start tasks; its own is among them.
    every = "arn:aws:scheduler:*:123456789012:schedule/*/*"
    assert sorted(where["scheduler:GetSchedule"]) == sorted([enforcing.arn("Tick"), every])
    # The schedule, and its own part of the table.
    queried = [f"arn:aws:dynamodb:{account}:table/{table}", f"arn:aws:dynamodb:{account}:table/{table}/index/schedule"]
    assert sorted(where["dynamodb:Query"]) == queried
    assert sorted(where["sts:AssumeRole"]) == ["arn:aws:iam::*:role/patchwave-inventory", *roles]
    assert sorted(where["sqs:SendMessage"]) == sorted([enforcing.arn("Changes"), enforcing.arn("InventoryDead")])


def test_roles_are_taken_in_the_organisation_alone(enforcing):
    for function in FUNCTIONS:
        takes = [s for s in statements(enforcing, f"{function}Role") if s["Action"] == "sts:AssumeRole"]
        assert takes
        for statement in takes:
            assert statement["Condition"] == {"StringEquals": {"aws:ResourceOrgID": "o-exampleorg"}}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_schedulers_role_is_handed_to_the_scheduler_alone(enforcing, function):
    [passes] = [s for s in statements(enforcing, f"{function}Role") if s["Action"] == "iam:PassRole"]
    assert passes["Condition"] == {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}


def test_who_may_take_a_role(enforcing):
    iam = enforcing.client("iam")
    for function in FUNCTIONS:
        document = iam.get_role(RoleName=enforcing.id(f"{function}Role"))["Role"]["AssumeRolePolicyDocument"]
        assert [statement["Principal"] for statement in document["Statement"]] == [{"Service": "lambda.amazonaws.com"}]
    document = iam.get_role(RoleName=enforcing.id("SchedulerRole"))["Role"]["AssumeRolePolicyDocument"]
    [statement] = document["Statement"]
    assert statement["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {
        "aws:SourceAccount": "123456789012",
        "aws:SourceArn": enforcing.arn("Schedules"),
    }


@pytest.mark.parametrize("role", [f"{function}Role" for function in FUNCTIONS] + ["SchedulerRole"])
def test_parliament_has_nothing_to_say(enforcing, role):
    for statement in statements(enforcing, role):
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        found = parliament.analyze_policy_string(document).findings
        left = [f for f in found if (f.issue, statement.get("Sid")) not in WAIVED]
        assert not left, f"{statement.get('Sid')}: {left}"
