"""The runbook, infra/README.md: its commands work when they are pasted from top to bottom, and it says what SAM will ask."""

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name
from stack import INFRA, read

# Costs and sizes are no steps, whichever page they are on.
NO_STEPS = r"^## (What it costs|Sizes and start-up)$.*?(?=^## )"
TEXT = re.sub(NO_STEPS, "", (INFRA / "README.md").read_text(), flags=re.M | re.S)
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.M | re.S)

# What the runbook tells people to install, and what each answers here.
TOOLS = ["aws", "sam", "rustup", "pip", "cargo", "patchwave"]

# A tool that notes how it was called. `aws` answers with the name of the output that is asked for.
FAKE = """#!{python}
import json, re, sys
from pathlib import Path
with open({log!r}, "a") as log:
    log.write(json.dumps([Path(sys.argv[0]).name, *sys.argv[1:]]) + "\\n")
asked = re.search(r"OutputKey=='(\\w*)'", " ".join(sys.argv))
print(asked[1] + "-dead" if asked else "answer")
"""

# Commands of the AWS CLI's own, which are no operations of a service.
CUSTOM = {("s3", "cp"), ("cloudformation", "deploy"), ("logs", "tail"), ("dynamodb", "wait")}
GLOBAL_OPTIONS = {"--query", "--output", "--region", "--cli-binary-format", "--cli-read-timeout", "--max-items"}


def test_there_is_a_block_for_every_step():
    assert len(BLOCKS) > 15


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[0][:40])
def test_bash_can_read_a_block(block):
    read_by_bash = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    assert (read_by_bash.returncode, read_by_bash.stderr) == (0, "")


def test_shellcheck_finds_nothing():
    shellcheck = Path(sys.executable).parent / "shellcheck"
    # A person reads the answers, so an exit code need not stop anything.
    command = [shellcheck, "--shell=bash", "--exclude=SC2164,SC2155", "-"]
    found = subprocess.run(command, input="\n".join(BLOCKS), capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Pastes all blocks into one shell, in which a variable or command that is not defined stops everything."""
    folder = tmp_path_factory.mktemp("runbook")
    tools, log = folder / "tools", folder / "calls"
    tools.mkdir()
    for tool in TOOLS:
        path = tools / tool
        path.write_text(FAKE.format(python=sys.executable, log=str(log)))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (folder / "infra").mkdir()
    # Nothing but the named tools and what every machine has.
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(folder)}
    script = "set -euo pipefail\n" + "\n".join(BLOCKS)
    ran = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_every_tool_is_named_before_it_is_used(calls):
    assert {call[0] for call in calls} == set(TOOLS)
    needed = TEXT.split("## What you need")[1].split("```sh")[0]
    for name in ("AWS CLI", "version 2", "SAM CLI", "rustup", "pip"):
        assert name in needed
    first = {tool: min(at for at, call in enumerate(calls) if call[0] == tool) for tool in TOOLS}
    installed = next(at for at, call in enumerate(calls) if call[:2] == ["cargo", "install"])
    assert installed < first["patchwave"]


def test_only_outputs_that_the_stack_has_are_asked_for(calls):
    asked = set(re.findall(r"OutputKey=='(\w+)'", json.dumps(calls)))
    assert asked and asked <= set(read("template.yaml")["Outputs"])


def test_the_options_of_the_aws_commands_exist(calls):
    session, wrong = botocore.session.get_session(), []
    for tool, *words in calls:
        if tool != "aws" or words == ["--version"] or tuple(words[:2]) in CUSTOM:
            continue
        service, command, *rest = words
        model = session.get_service_model(service.replace("s3api", "s3"))
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        assert command in operations, f"aws {service} {command}"
        members = model.operation_model(operations[command]).input_shape.members
        known = {f"--{xform_name(member, '-')}" for member in members} | GLOBAL_OPTIONS
        known |= {f"--no-{xform_name(member, '-')}" for member in members}
        wrong += [(service, command, word) for word in rest if word.startswith("--") and word not in known]
    assert wrong == []


def test_the_options_of_patchwave_are_its_own(calls):
    verbs = {call[1] for call in calls if call[0] == "patchwave"}
    assert verbs == {"validate", "observe", "plan", "why"}


def questions():
    """Returns what the runbook says that `sam deploy --guided` asks, in order, with the default."""
    table = TEXT.split("| question | default |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert all(len(row) == 3 and row[2] for row in rows)
    return {question: default.strip("`") for question, default, _ in rows}


def test_the_runbook_lists_what_sam_will_ask():
    # As samcli/commands/deploy/guided_context.py asks it.
    declared = read("template.yaml")["Parameters"]
    parameters = {f"Parameter {name}": str(parameter["Default"]) or "none" for name, parameter in declared.items()}
    expected = {
        "Stack Name": "patchwave",
        "AWS Region": "yours",
        **parameters,
        "Confirm changes before deploy": "N",
        "Allow SAM CLI IAM role creation": "Y",
        "Disable rollback": "N",
        "Save arguments to configuration file": "Y",
        "SAM configuration file": "samconfig.toml",
        "SAM configuration environment": "default",
    }
    assert list(questions().items()) == list(expected.items())


def test_the_runbook_says_how_long_the_build_is_silent():
    before = TEXT.split("sam build")[0][-400:]
    assert "15 minutes of processor time" in before and "prints nothing" in before


def test_the_alarms_of_the_runbook_name_queues_that_exist(calls):
    named = {call[call.index("--queue-name") + 1] for call in calls if "--queue-name" in call}
    names = {
        resource["Properties"].get("QueueName", {}).get("Fn::Sub", "").replace("${AWS::StackName}", "patchwave")
        for resource in read("template.yaml")["Resources"].values()
        if resource["Type"] == "AWS::SQS::Queue"
    }
    assert named and named <= names


def sentences():
    """Yields the runbook's prose, sentence by sentence, without blocks, tables and headings."""
    prose = re.sub(r"^```.*?^```$", "", TEXT, flags=re.M | re.S)
    prose = re.sub(r"^[|#].*$", "", prose, flags=re.M)
    for paragraph in re.split(r"\n\s*\n|\n(?=- |\d\. )", prose):
        yield from re.split(r"(?<=[.:!?])\s+", " ".join(paragraph.split()))


def test_no_sentence_has_more_than_30_words():
    assert [s for s in sentences() if len(s.split()) > 30] == []
