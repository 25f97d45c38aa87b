"""What the stack makes, read back and compared with what the code expects."""

import datetime
import json
import re
import subprocess
import sys

import pytest
from stack import ACCOUNT, FUNCTIONS, INFRA, REGION, ROOT, Stack
from test_permissions import listed, statements

sys.path.insert(0, str(INFRA))

import count  # noqa: E402

MINUTES = 60


def constant(path, pattern):
    """Returns a constant of the code: the first group of `pattern`."""
    found = re.search(pattern, (ROOT / path).read_text())
    assert found, f"{path} has no {pattern}"
    return found[1]


def attributes(stack, queue):
    url = stack.id(queue)
    return stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


# The table.


def test_the_table_is_the_one_that_the_code_describes(observing):
    name = observing.id("Table")
    command = [count.patchwave(), "table", "--name", name]
    wanted = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    client = observing.client("dynamodb")
    found = client.describe_table(TableName=name)["Table"]
    assert found["TableName"] == wanted.pop("TableName")
    assert found["BillingModeSummary"]["BillingMode"] == wanted.pop("BillingMode")
    assert (found["SSEDescription"]["Status"] == "ENABLED") == wanted.pop("SSESpecification")["Enabled"]
    for index in wanted["GlobalSecondaryIndexes"]:
        [same] = [i for i in found["GlobalSecondaryIndexes"] if i["IndexName"] == index["IndexName"]]
        assert {key: same[key] for key in index} == index
    assert len(found["GlobalSecondaryIndexes"]) == len(wanted.pop("GlobalSecondaryIndexes"))
    assert by_name(found["AttributeDefinitions"]) == by_name(wanted.pop("AttributeDefinitions"))
    assert found["KeySchema"] == wanted.pop("KeySchema")
    assert not wanted, f"the template says nothing of {wanted}"


def by_name(definitions):
    return sorted(definitions, key=lambda definition: definition["AttributeName"])


def test_the_table_forgets_what_expires_and_nothing_else(observing):
    client, name = observing.client("dynamodb"), observing.id("Table")
    expires = constant("shared/src/table.rs", r'EXPIRES_AT: &str = "(\w+)"')
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": expires}
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    assert client.describe_table(TableName=name)["Table"]["DeletionProtectionEnabled"] is True


# The functions.


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_told_what_it_asks_for(observing, function):
    found = observing.client("lambda").get_function_configuration(FunctionName=observing.id(function))
    environment = found["Environment"]["Variables"]
    settings = (ROOT / "shared/aws/src/settings.rs").read_text()
    names = set(re.findall(r'name: "(PATCHWAVE_\w+)"', settings)) - {"PATCHWAVE_KUBE_ENDPOINT_OVERRIDE"}
    # Only the inventory continues a survey in another invocation.
    assert set(environment) == names - (set() if function == "Inventory" else {"PATCHWAVE_SWEEP", "PATCHWAVE_KEEP_TAGS"})
    bucket = observing.id("Bucket")
    assert environment["PATCHWAVE_HIERARCHY"] == f"s3://{bucket}/hierarchy.yaml"
    assert environment["PATCHWAVE_TABLE"] == observing.id("Table")
    assert environment["PATCHWAVE_MODE"] == "observe"
    assert environment["PATCHWAVE_EVENT_BUS"] == "observing"
    assert environment["PATCHWAVE_QUEUE"] == observing.id("Changes")
    starters = environment["PATCHWAVE_STARTERS"].split(",")
    assert sorted(starters) == sorted(observing.arn(f"{name}Role") for name in FUNCTIONS)
    asks_for = {"PATCHWAVE_TICK": "Changes"} | ({"PATCHWAVE_SWEEP": "Inventory"} if function == "Inventory" else {})
    for variable, wakes in asks_for.items():
        group, name = environment[variable].split("/")
        schedule = observing.client("scheduler").get_schedule(GroupName=group, Name=name)
        assert schedule["Target"]["Arn"] == observing.arn(wakes)
    assert found["Runtime"] == "provided.al2023"
    # moto's CloudFormation ignores it.
    assert observing.properties(function)["Architectures"] == ["arm64"]
    assert found["Role"] == observing.arn(f"{function}Role")


def test_enforce_is_one_parameter_away(enforcing):
    for function in FUNCTIONS:
        found = enforcing.client("lambda").get_function_configuration(FunctionName=enforcing.id(function))
        assert found["Environment"]["Variables"]["PATCHWAVE_MODE"] == "enforce"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_function_outlives_its_claims(observing, function):
    lease = int(constant("shared/converge/src/apply.rs", r"LEASE: Span = Span::minutes\((\d+)\)"))
    assert observing.properties(function)["Timeout"] < lease * MINUTES


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_its_own_log_that_ends(observing, function):
    name = observing.properties(function)["LoggingConfig"]["LogGroup"]
    [group] = observing.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert group["retentionInDays"] == 90
    assert name.endswith(FUNCTIONS[function])


# The queues.

WAKES = {"ScanComplete": "Scans", "RebuildFanout": "Changes"}


@pytest.mark.parametrize(("function", "queue"), WAKES.items())
def test_batches_fail_in_parts_and_come_again(observing, function, queue):
    [mapping] = observing.client("lambda").list_event_source_mappings(FunctionName=observing.id(function))[
        "EventSourceMappings"
    ]
    assert mapping["EventSourceArn"] == observing.arn(queue)
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    asked = observing.properties(function + queue)
    assert asked["ScalingConfig"]["MaximumConcurrency"] == 2
    window = asked["MaximumBatchingWindowInSeconds"]
    timeout = observing.properties(function)["Timeout"]
    assert int(attributes(observing, queue)["VisibilityTimeout"]) == 6 * timeout + window
    assert window < shortest_quiet_period(), "a batch may not wait longer than the shortest quiet period"


def shortest_quiet_period():
    """`{ critical: 1m, default: 10m }`, as the page about the hierarchy has it."""
    return int(constant("shared/HIERARCHY.md", r"`quietPeriod` \| `\{ critical: (\d+)m")) * MINUTES


@pytest.mark.parametrize("queue", WAKES.values())
def test_what_fails_is_tried_as_often_as_the_simulator_tries_it(observing, queue):
    tries = int(constant("shared/sim/src/simulation/queues.rs", r"MOST_ATTEMPTS: u32 = (\d+)"))
    redrive = json.loads(attributes(observing, queue)["RedrivePolicy"])
    assert redrive == {"deadLetterTargetArn": observing.arn(queue + "Dead"), "maxReceiveCount": tries}
    # moto's CloudFormation ignores it.
    allowed = observing.properties(queue + "Dead")["RedriveAllowPolicy"]
    assert allowed == {"redrivePermission": "byQueue", "sourceQueueArns": [observing.arn(queue)]}


def test_a_message_lives_longer_than_its_tries_and_a_dead_letter_longer_still(observing):
    for queue in WAKES.values():
        living, dead = attributes(observing, queue), attributes(observing, queue + "Dead")
        assert 3 * int(living["VisibilityTimeout"]) < int(living["MessageRetentionPeriod"])
        assert int(living["MessageRetentionPeriod"]) < int(dead["MessageRetentionPeriod"])


def test_an_inventory_that_fails_is_tried_again_and_then_kept(observing):
    name = observing.id("Inventory")
    found = observing.client("lambda").get_function_event_invoke_config(FunctionName=name)
    assert found["MaximumRetryAttempts"] == 2
    assert found["DestinationConfig"]["OnFailure"]["Destination"] == observing.arn("InventoryDead")


# The bucket.


def test_the_hierarchys_bucket(observing):
    s3, bucket = observing.client("s3"), observing.id("Bucket")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    [rule] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    [statement] = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert observing.outputs["HierarchyAddress"] == f"s3://{bucket}/hierarchy.yaml"


# Notices and alarms.


def alarms(stack):
    found = stack.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return [alarm for alarm in found if stack.id("Alarms") in alarm["AlarmActions"]]


def watched(alarm):
    metrics = [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m] or [alarm]
    return {(m["Namespace"], m["MetricName"], *(d["Value"] for d in m.get("Dimensions", []))) for m in metrics}


def test_something_watches_every_queue_and_function(observing):
    seen = set().union(*(watched(alarm) for alarm in alarms(observing)))

    def name(queue):
        return observing.resolve({"Fn::GetAtt": [queue, "QueueName"]})

    expected = {("Patchwave", "Unknowns"), ("Patchwave", "Errors")}
    expected |= {("AWS/SQS", "ApproximateNumberOfMessagesVisible", name(f"{q}Dead")) for q in ("Scans", "Changes", "Inventory", "Notices")}
    expected |= {("AWS/SQS", "ApproximateAgeOfOldestMessage", name(queue)) for queue in WAKES.values()}
    expected |= {("AWS/Lambda", "Errors", observing.id(function)) for function in FUNCTIONS}
    assert seen == expected


def test_a_missed_inventory_is_heard_of_after_26_hours(observing):
    """The metric is written when a survey has ended and its inventory is in the table, so its absence says that neither is so."""
    [alarm] = [a for a in alarms(observing) if a["TreatMissingData"] == "breaching"]
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == ("Unknowns", "SampleCount", 1)
    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    assert datetime.timedelta(seconds=alarm["Period"] * alarm["EvaluationPeriods"]) == datetime.timedelta(hours=26)
    sweep = (ROOT / "shared/converge/src/sweep.rs").read_text()
    # The metrics are made of what it saw, which is returned only once it is written.
    assert sweep.index("keep_inventory(") < sweep.index("let seen = Seen {")


def test_whatever_a_pass_could_not_do_is_heard_of(observing):
    [alarm] = [a for a in alarms(observing) if a.get("Namespace") == "Patchwave" and a["MetricName"] == "Errors"]
    assert not alarm.get("Dimensions"), "all kinds together"
    assert (alarm["Statistic"], alarm["Threshold"], alarm["ComparisonOperator"]) == ("Sum", 0, "GreaterThanThreshold")


def test_an_address_is_told_only_if_there_is_one(observing, enforcing):
    def told(stack):
        topic = stack.id("Alarms")
        found = stack.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        return [(subscription["Protocol"], subscription["Endpoint"]) for subscription in found]

    assert told(observing) == []
    assert told(enforcing) == [("email", "ops@example.com")]


def shown(stack):
    body = json.loads(stack.client("cloudwatch").get_dashboard(DashboardName=stack.name)["DashboardBody"])
    return [metric for widget in body["widgets"] for metric in widget["properties"]["metrics"]]


def test_the_dashboard_shows_what_there_is(observing):
    named = {tuple(metric[2:]) for metric in shown(observing) if metric[0].startswith("AWS/")}
    queues = {("QueueName", observing.resolve({"Fn::GetAtt": [q, "QueueName"]})) for q in ("Scans", "Changes", "ScansDead", "ChangesDead", "InventoryDead")}
    assert named == queues | {("FunctionName", observing.id(function)) for function in FUNCTIONS}


# The files that write metrics.
METRICS = [ROOT / "shared/src/inventory/metrics.rs", ROOT / "shared/aws/src/telemetry.rs"]


def test_every_figure_of_the_dashboard_is_one_that_a_function_publishes(observing):
    figures = "".join(path.read_text() for path in METRICS)
    namespace = re.search(r'NAMESPACE: &str = "(\w+)"', figures)[1]
    published = set(re.findall(r'\("([A-Z]\w+)"', figures))
    ours = {metric[1] for metric in shown(observing) if metric[0] == namespace}
    ours |= {name for metric in alarms(observing) for space, name, *_ in watched(metric) if space == namespace}
    assert len(ours) > 5 and ours <= published, ours - published


def test_a_restored_table_takes_the_place_of_the_stacks_own():
    stack = Stack("restored", RestoredTable="patchwave-restored")
    try:
        found = stack.client("lambda").get_function_configuration(FunctionName=stack.id("ScanComplete"))
        assert found["Environment"]["Variables"]["PATCHWAVE_TABLE"] == "patchwave-restored"
        may = {
            resource
            for role in ("ScanCompleteRole", "InventoryRole")
            for statement in statements(stack, role)
            if listed(statement["Action"])[0].startswith("dynamodb:")
            for resource in listed(statement["Resource"])
        }
        table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/patchwave-restored"
        assert may == {table, f"{table}/index/schedule"}
        assert stack.exists("Table"), "the stack's own is kept"
    finally:
        stack.close()
