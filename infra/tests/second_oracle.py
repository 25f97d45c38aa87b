"""Deploys the whole stack into ministack, a second emulator of AWS that evaluates IAM, and lets events run through it.

    python second_oracle.py FUNCTIONS < INPUT

FUNCTIONS is the folder with the compiled functions. INPUT is JSON: `hierarchy`, the file's text; `events`, what AWS sends; and
`endpoints`, the variables that name the fakes of the services. It prints what came of it, as JSON.
tests/tests/second_oracle.rs runs it.
"""

import contextlib
import io
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import zipfile

import boto3
from botocore.exceptions import ClientError
from stack import ACCOUNT, FUNCTIONS, REGION, parameters, transformed
from test_events import LET_THROUGH, SAMPLES, sample, samples

STACK = "patchwave"
GIVEN = {"Mode": "enforce", "OrganizationId": "o-exampleorg", "Pipelines": "*"}
# What ministack's CloudFormation does not know.
UNKNOWN = ["AWS::ECR::PullTimeUpdateExclusion", "AWS::Events::EventBusPolicy"]
# Seconds that ministack may take for a step.
PATIENCE = 20


class Oracle:
    """A running ministack. It answers AWS's calls, and evaluates the IAM policies of whoever calls."""

    def __init__(self, endpoints, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "TMPDIR": folder,
            "AUTH": "true",
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "PYTHONUNBUFFERED": "1",
            # The functions inherit these: what no fake answers, ministack does.
            "AWS_ENDPOINT_URL": self.url,
            **endpoints,
        }
        program = pathlib.Path(sys.executable).parent / "ministack"
        self._log = open(pathlib.Path(folder) / "log", "w+b")
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([program], cwd=folder, env=environment, stdout=pipe, stderr=subprocess.STDOUT)
        for line in self._process.stdout:
            self._log.write(line)
            if b"Running on http" in line:
                break
        else:
            raise SystemExit(f"ministack did not start:\n{self.log()}")
        # A full pipe would stop it.
        self._copy = subprocess.Popen(["cat"], stdin=self._process.stdout, stdout=self._log)

    def client(self, service):
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        )

    def log(self):
        self._log.flush()
        return (pathlib.Path(self._log.name)).read_text(errors="replace")

    def close(self):
        self._process.kill()
        self._process.wait()
        self._copy.wait()
        self._log.close()


def package(binary):
    """Returns a function's package. Its entry point runs the compiled function where it is."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, f'#!/bin/sh\nexec "{binary}"\n')
    return packed.getvalue()


def adapted(template):
    """Changes what ministack would refuse although AWS does not. Everything else stays as it is deployed."""
    resources = template["Resources"]
    for name in [name for name, resource in resources.items() if resource["Type"] in UNKNOWN]:
        del resources[name]
    statements = {
        statement["Sid"]: statement
        for policy in ("Pass", "Recheck")
        for statement in resources[policy]["Properties"]["PolicyDocument"]["Statement"]
    }
    # It does not say of which source a call's events are.
    del statements["TellPeople"]["Condition"]["Null"]
    # It takes every schedule to be in the group `default`.
    for sid in ("ReadTick", "MakeSchedules"):
        statements[sid]["Resource"] = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/*"
    return template


def deploy(oracle, functions):
    """Deploys the template, and returns its outputs and what ministack said that it does not know."""
    s3, cloudformation = oracle.client("s3"), oracle.client("cloudformation")
    s3.create_bucket(Bucket="packages")
    for binary in FUNCTIONS.values():
        s3.put_object(Bucket="packages", Key=f"{binary}.zip", Body=package(functions / binary))
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    template = transformed(**GIVEN)
    given = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters(template, GIVEN).items()]

    def create(template):
        # Too long to be sent in the call.
        s3.put_object(Bucket="packages", Key="template.json", Body=json.dumps(template))
        url = f"{oracle.url}/packages/template.json"
        cloudformation.create_stack(StackName=STACK, TemplateURL=url, Capabilities=["CAPABILITY_IAM"], Parameters=given)

    unknown = None
    try:
        create(template)
    except ClientError as refused:
        unknown = refused.response["Error"]["Message"]
        create(adapted(template))
    waiter = cloudformation.get_waiter("stack_create_complete")
    waiter.wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": PATIENCE})
    [stack] = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}, unknown


def listen(oracle, bus):
    """Makes a queue that gets the notices, as a person's own rule would, and returns its address."""
    sqs, events = oracle.client("sqs"), oracle.client("events")
    queue = sqs.create_queue(QueueName="people")["QueueUrl"]
    pattern = json.dumps({"source": ["patchwave"], "account": [ACCOUNT]})
    events.put_rule(Name="people", EventBusName=bus, EventPattern=pattern)
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:people"
    allowed = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    events.put_targets(Rule="people", EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
    return queue


def matrix(oracle):
    """Returns which of the stack's rules let each sample event through, as ministack reads their patterns."""
    events = oracle.client("events")
    rules = [rule for bus in ("default", STACK) for rule in events.list_rules(EventBusName=bus)["Rules"]]

    def let_through(event):
        passed = [r for r in rules if events.test_event_pattern(EventPattern=r["EventPattern"], Event=event)["Result"]]
        return sorted(rule["Name"].split("-")[1] for rule in passed)

    # The registry of the samples is this one.
    return {name: let_through(json.dumps(sample(name)).replace(SAMPLES, ACCOUNT)) for name in samples()}


def deliver(oracle, events):
    """Delivers each event as its rules would. Only AWS's services may put their events on a bus, in ministack too. So ministack
    says which of the stack's rules match, and the event goes to the queues of these."""
    rules, sqs = oracle.client("events"), oracle.client("sqs")
    patterns = [rule for rule in rules.list_rules()["Rules"] if rule["Name"].startswith(f"{STACK}-")]
    targets = {rule["Name"]: rules.list_targets_by_rule(Rule=rule["Name"])["Targets"] for rule in patterns}
    delivered = {}
    for event in map(json.dumps, events):
        for rule in patterns:
            if rules.test_event_pattern(EventPattern=rule["EventPattern"], Event=event)["Result"]:
                [target] = targets[rule["Name"]]
                queue = target["Arn"].rsplit(":", 1)[1]
                sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"], MessageBody=event)
                delivered[queue] = delivered.get(queue, 0) + 1
    return delivered


def received(oracle, queue):
    """Waits for a message and returns what it is about."""
    messages = oracle.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=PATIENCE).get("Messages", [])
    return [json.loads(message["Body"])["detail"] for message in messages]


def invoke(oracle, function):
    schedule = {"schedule_arn": "by hand", "scheduled_time": "now"}
    answer = oracle.client("lambda").invoke(FunctionName=function, Payload=json.dumps(schedule))
    return {"failed": "FunctionError" in answer, "answer": json.load(answer["Payload"])}


def main():
    asked = json.load(sys.stdin)
    functions = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Oracle(asked["endpoints"], folder)) as oracle:
        outputs, unknown = deploy(oracle, functions)
        found_matrix = matrix(oracle)
        expected = {name: sorted(LET_THROUGH.get(name, [])) for name in samples()}
        assert found_matrix == expected, f"ministack reads a pattern in another way: {found_matrix}"
        bucket, _, key = outputs["HierarchyAddress"].removeprefix("s3://").partition("/")
        found = {"unknown": unknown, "insecure": invoke(oracle, outputs["InventoryFunction"])}
        # ministack is called without TLS, which the bucket's policy refuses.
        oracle.client("s3").delete_bucket_policy(Bucket=bucket)
        found["missing"] = invoke(oracle, outputs["InventoryFunction"])
        oracle.client("s3").put_object(Bucket=bucket, Key=key, Body=asked["hierarchy"])
        queue = listen(oracle, STACK)
        found["delivered"] = deliver(oracle, asked["events"])
        found["notices"] = received(oracle, queue)
        found["swept"] = invoke(oracle, outputs["InventoryFunction"])
        # The control: IAM is really asked.
        iam, role = oracle.client("iam"), outputs["InventoryRoleArn"].rsplit("/", 1)[1]
        for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=role, PolicyArn=policy["PolicyArn"])
        found["stripped"] = invoke(oracle, outputs["InventoryFunction"])
        found["log"] = oracle.log()[-20_000:]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
