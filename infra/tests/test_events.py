"""Where each event goes: every sample event against every deployed rule."""

import json
import re

import pytest
from pattern import matches
from stack import ACCOUNT, FUNCTIONS, REGION, ROOT
from test_permissions import listed, statements

# The account of the sample events, whose registry this is.
SAMPLES = "111122223333"
EVENTS = ROOT / "tests/fixtures/events"

# The rules that let each sample through. No rule lets the other samples through. A member's events come by its bus, and its own
# rules have chosen them, so the hub's rules for them ask for the kind alone.
LET_THROUGH = {
    "codepipeline-pipeline-failed": ["Executions", "MemberExecutions"],
    "codepipeline-pipeline-succeeded": ["Executions", "MemberExecutions"],
    "codepipeline-pipeline-superseded": ["Executions", "MemberExecutions"],
    "ecr-image-action-delete": ["MemberChanges", "Pushes"],
    "ecr-image-action-push": ["MemberChanges", "Pushes"],
    "ecr-image-action-push-index-constructed": ["MemberChanges", "Pushes"],
    "ecr-image-action-push-no-tag-field": ["MemberChanges"],
    "ecr-image-action-push-tagged-with-media-types": ["MemberChanges", "Pushes"],
    "ecr-image-action-restore": ["MemberChanges", "Pushes"],
    "ecr-image-scan-complete": ["BasicScans", "MemberScans"],
    "ecr-image-scan-failed": ["BasicScans", "MemberScans"],
    "ecr-pull-through-cache-action-failure-constructed": ["Copies", "MemberChanges"],
    "ecr-pull-through-cache-action-success": ["Copies", "MemberChanges"],
    "ecr-replication-action-success": ["Copies", "MemberChanges"],
    "inspector2-coverage-ecr-constructed": ["InspectorScans", "MemberFindings"],
    "inspector2-finding-ecr-package": ["Findings", "MemberFindings"],
    "inspector2-finding-ecr-package-closed": ["MemberFindings"],
    "inspector2-scan-ecr": ["InspectorScans", "MemberFindings"],
    "inspector2-scan-ecr-clean": ["InspectorScans", "MemberFindings"],
}
# Inputs of functions that are no events on a bus.
NOT_ON_A_BUS = {"scheduler-universal-input", "sqs-batch-response", "sqs-eventbridge-batch", "sqs-fifo-eventbridge"}

QUEUES = {
    "BasicScans": "Scans",
    "InspectorScans": "Scans",
    "Findings": "Scans",
    "Pushes": "Changes",
    "Copies": "Changes",
    "Executions": "Changes",
    "MemberFindings": "Scans",
    "MemberScans": "Scans",
    "MemberChanges": "Changes",
    "MemberExecutions": "Changes",
}
MEMBERS = ("MemberScans", "MemberFindings", "MemberChanges", "MemberExecutions")
# The rule for Patchwave's own notices, which go to people.
NOTICES = "Notices"


def sample(name):
    return json.loads((EVENTS / f"{name}.json").read_text())


def samples():
    return sorted(path.stem for path in EVENTS.glob("*.json") if path.stem not in NOT_ON_A_BUS)


def changed(name, **changes):
    """Returns a sample in which the given fields, named by their path with `__` for a dot, are others."""
    event = sample(name)
    for path, value in changes.items():
        *parents, last = path.replace("detail_type", "detail-type").split("__")
        place = event
        for parent in parents:
            place = place[parent]
        place[last.replace("_", "-") if last not in place else last] = value
    return event


@pytest.fixture(scope="session")
def rules(enforcing):
    """The patterns as EventBridge holds them, for the registry of the samples."""
    events = enforcing.client("events")
    found = {}
    for bus in ("default", enforcing.resolve({"Fn::GetAtt": ["Bus", "Name"]})):
        for rule in events.list_rules(EventBusName=bus)["Rules"]:
            logical = re.fullmatch(r"enforcing-([A-Za-z]+)-\w+", rule["Name"])
            if logical:
                found[logical[1]] = json.loads(rule["EventPattern"].replace(ACCOUNT, SAMPLES))
    return found


def let_through(rules, event):
    return sorted(name for name, pattern in rules.items() if matches(pattern, event))


def let_through_of_home(rules, event):
    """Without the rules for what members have already chosen."""
    return [name for name in let_through(rules, event) if name not in ("MemberScans", "MemberFindings", "MemberChanges")]


def test_there_is_an_event_for_every_rule(rules):
    assert sorted(rules) == sorted([*QUEUES, NOTICES])
    assert {name for names in LET_THROUGH.values() for name in names} == set(QUEUES)


@pytest.mark.parametrize("name", samples())
def test_the_matrix(rules, name):
    assert let_through(rules, sample(name)) == sorted(LET_THROUGH.get(name, []))


ARN = f"arn:aws:ecr:{REGION}:{SAMPLES}:repository/apps/checkout"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        # Somebody else's registry, of which an Inspector administrator hears too, and this one in another Region.
        ("inspector2-finding-ecr-package", {"resources": [ARN.replace(SAMPLES, "444455556666")]}),
        ("inspector2-scan-ecr", {"resources": [ARN.replace(REGION, "eu-west-1")]}),
        ("inspector2-coverage-ecr-constructed", {"resources": [ARN.replace(SAMPLES, "444455556666")]}),
        ("ecr-image-scan-complete", {"resources": [ARN.replace(SAMPLES, "444455556666")]}),
        # Functions and machines.
        ("inspector2-finding-ecr-package", {"resources": [f"arn:aws:lambda:{REGION}:{SAMPLES}:function:f:1"]}),
        ("inspector2-scan-ecr", {"resources": ["i-0123456789abcdef0"]}),
        # What no policy counts.
        ("inspector2-finding-ecr-package", {"detail__severity": "INFORMATIONAL"}),
        ("inspector2-finding-ecr-package", {"detail__severity": "UNTRIAGED"}),
        ("inspector2-finding-ecr-package", {"detail__status": "SUPPRESSED"}),
        ("inspector2-finding-ecr-package", {"detail__type": "NETWORK_REACHABILITY"}),
        # What changed nothing.
        ("ecr-image-action-push", {"detail__result": "FAILURE"}),
        ("ecr-image-action-push", {"detail__image-tag": ""}),
        ("ecr-replication-action-success", {"detail__result": "FAILED"}),
        ("codepipeline-pipeline-succeeded", {"detail__state": "STARTED"}),
        ("codepipeline-pipeline-succeeded", {"detail_type": "CodePipeline Stage Execution State Change"}),
        # Somebody's own events.
        ("ecr-image-scan-complete", {"source": "example.ecr"}),
        ("codepipeline-pipeline-succeeded", {"source": "patchwave"}),
        ("ecr-image-scan-complete", {"detail_type": "Patchwave Root Cause"}),
    ],
)
def test_what_is_not_needed_stays_out(rules, name, changes):
    assert let_through_of_home(rules, changed(name, **changes)) == []


@pytest.mark.parametrize("severity", ["LOW", "MEDIUM", "HIGH", "CRITICAL"])
def test_every_severity_that_a_policy_may_name_comes_through(rules, severity):
    assert "Findings" in let_through(rules, changed("inspector2-finding-ecr-package", detail__severity=severity))


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "STOPPED", "SUPERSEDED", "CANCELED"])
def test_however_an_execution_ends(rules, state):
    event = changed("codepipeline-pipeline-succeeded", detail__state=state)
    assert "Executions" in let_through(rules, event)


def test_only_pipelines_that_may_be_started_are_heard_of(rules):
    # A member sends what it lets the hub start.
    event = changed("codepipeline-pipeline-succeeded", detail__pipeline="deploy-everything")
    assert let_through(rules, event) == ["MemberExecutions"]


# The code's side.


def trigger_source():
    return (ROOT / "shared/src/trigger/mod.rs").read_text()


def acted_on():
    """Returns the (source, detail-type) pairs of which the functions' parser makes triggers."""
    arms = re.search(r"match \(source, detail_type\) \{(.*?)\n    \}", trigger_source(), re.S)[1]
    arm = re.compile(r'\(\s*("[^=]*?)\s*,?\s*\)\s*=>\s*(.*?)(?=\n\s*(?://[^\n]*\n\s*)?\(|\n\s*_ =>)', re.S)
    found = set()
    for pattern, result in arm.findall(arms):
        source, kinds = pattern.split(",", 1)
        if "ignored(" not in result:
            found.update((s, kind) for s in re.findall('"([^"]+)"', source) for kind in re.findall('"([^"]+)"', kinds))
    return found


def test_the_functions_know_what_every_rule_lets_through(rules):
    known = acted_on()
    assert ("aws.ecr", "ECR Image Scan") in known and ("aws.ecr", "ECR Referrer Action") not in known
    for name in QUEUES:
        for source in rules[name]["source"]:
            for kind in rules[name]["detail-type"]:
                assert (source, kind) in known, f"{name} delivers {kind}, of which the functions make nothing"


def test_every_state_of_a_pattern_is_one_that_the_functions_know(rules):
    known = set(re.findall(r'"([A-Z]+)" => Self::', trigger_source()))
    for name in ("Executions", "MemberExecutions"):
        assert set(rules[name]["detail"]["state"]) < known


def test_the_parser_is_tested_with_what_the_rules_let_through():
    tested = (ROOT / "shared/tests/trigger.rs").read_text()
    for name in LET_THROUGH:
        assert name in tested


@pytest.mark.parametrize("rule", sorted(QUEUES))
def test_where_a_rule_delivers(enforcing, rule):
    properties = enforcing.properties(rule)
    listed = enforcing.client("events").list_targets_by_rule(
        Rule=enforcing.arn(rule).rsplit("/", 1)[-1], EventBusName=properties.get("EventBusName", "default")
    )["Targets"]
    [target] = listed
    assert target["Arn"] == enforcing.arn(QUEUES[rule])
    assert target["DeadLetterConfig"]["Arn"] == enforcing.arn(QUEUES[rule] + "Dead")
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 24}


# Which function each source's events are for. ECR's scans are for the one that Inspector's are for.
ACTS = {"aws.codepipeline": "RebuildFanout", "aws.ecr": "RebuildFanout", "aws.inspector2": "ScanComplete"}


@pytest.mark.parametrize("name", sorted(LET_THROUGH))
def test_each_event_reaches_the_function_that_acts_on_it(enforcing, rules, name):
    event, reached = sample(name), set()
    for rule in let_through(rules, event):
        for function in FUNCTIONS:
            mappings = enforcing.client("lambda").list_event_source_mappings(FunctionName=enforcing.id(function))
            if enforcing.arn(QUEUES[rule]) in [mapping["EventSourceArn"] for mapping in mappings["EventSourceMappings"]]:
                reached.add(function)
    assert reached == {"ScanComplete" if event["detail-type"] == "ECR Image Scan" else ACTS[event["source"]]}


def test_what_patchwave_says_reaches_people_and_no_function(enforcing, rules):
    adapter = (ROOT / "shared/aws/src/eventbridge.rs").read_text()
    [source], [kind] = (re.findall(rf'pub const {name}: &str = "([^"]+)"', adapter) for name in ("SOURCE", "DETAIL_TYPE"))
    notice = {"source": source, "detail-type": kind, "account": SAMPLES, "region": REGION, "detail": {}}
    assert let_through(rules, notice) == [NOTICES]
    assert let_through(rules, {**notice, "account": "444455556666"}) == [], "a member says nothing in Patchwave's name"
    targets = enforcing.client("events").list_targets_by_rule(
        Rule=enforcing.arn(NOTICES).rsplit("/", 1)[-1], EventBusName="enforcing"
    )["Targets"]
    assert [target["Arn"] for target in targets] == [enforcing.id("Alarms")]
    topic = enforcing.client("sns").get_topic_attributes(TopicArn=enforcing.id("Alarms"))["Attributes"]
    from_rule, from_alarms = json.loads(topic["Policy"])["Statement"]
    assert from_rule["Principal"] == {"Service": "events.amazonaws.com"}
    assert "Condition" not in from_rule, "EventBridge's guide says that it supports none in a topic's policy"
    assert from_alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}


@pytest.mark.parametrize("queue", ["Scans", "ScansDead", "Changes", "ChangesDead"])
def test_only_its_own_rules_may_write_to_a_queue(enforcing, queue):
    url = enforcing.id(queue)
    attributes = enforcing.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
    [statement] = json.loads(attributes["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Resource"] == enforcing.arn(queue)
    theirs = [enforcing.arn(rule) for rule, its in QUEUES.items() if its == queue.removesuffix("Dead")]
    assert sorted(statement["Condition"]["ArnEquals"]["aws:SourceArn"]) == sorted(theirs)


@pytest.mark.parametrize(
    ("schedule", "target", "dead"), [("Tick", "Changes", "ChangesDead"), ("Daily", "Inventory", "InventoryDead")]
)
def test_the_schedules(enforcing, schedule, target, dead):
    found = enforcing.client("scheduler").get_schedule(Name=enforcing.id(schedule), GroupName="enforcing")
    assert found["State"] == "ENABLED"
    goes_to = found["Target"]
    assert goes_to["Arn"] == enforcing.arn(target)
    assert goes_to["RoleArn"] == enforcing.arn("SchedulerRole")
    assert goes_to["DeadLetterConfig"]["Arn"] == enforcing.arn(dead)
    assert goes_to["RetryPolicy"]["MaximumRetryAttempts"] > 0
    # The fixture is what shared/tests/trigger.rs shows to be a schedule for the parser.
    kind, expected = json.loads(goes_to["Input"]), sample("scheduler-universal-input")
    assert {**kind, "kind": ""} == {**expected, "kind": ""}


def test_without_an_organisation_no_other_account_reaches_the_bus(observing):
    # Another Region of the hub's own account does, and needs no policy.
    rules = observing.client("events").list_rules(EventBusName="observing")["Rules"]
    members = {observing.arn(name) for name in MEMBERS}
    assert {rule["Arn"] for rule in rules} == {observing.arn(NOTICES), *members}
    assert "Policy" not in observing.client("events").describe_event_bus(Name="observing")


def only_of_source(source):
    """The condition for a key that has a value for each entry of a call. Without it, the call is refused."""
    return {"ForAllValues:StringEquals": {"events:source": source}, "Null": {"events:source": "false"}}


def test_only_the_organisation_reaches_the_bus(enforcing):
    bus = enforcing.client("events").describe_event_bus(Name="enforcing")
    [statement] = json.loads(bus["Policy"])["Statement"]
    assert statement["Action"] == "events:PutEvents"
    assert statement["Condition"] == {
        "StringEquals": {"aws:PrincipalOrgID": "o-exampleorg"},
        **only_of_source(["aws.codepipeline", "aws.ecr", "aws.inspector2"]),
    }


def test_the_bus_takes_from_other_accounts_what_a_rule_delivers(enforcing):
    statement = enforcing.properties("BusPolicy")["Statement"]
    patterns = [enforcing.properties(name)["EventPattern"] for name in MEMBERS]
    delivered = {source for pattern in patterns for source in pattern["source"]}
    assert set(listed(statement["Condition"]["ForAllValues:StringEquals"]["events:source"])) == delivered


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_sends_notices_and_nothing_else(enforcing, function):
    [puts] = [s for s in statements(enforcing, f"{function}Role") if s["Action"] == "events:PutEvents"]
    assert puts["Condition"] == only_of_source("patchwave")
