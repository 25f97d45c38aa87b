"""The rights of the people who care for registries: each verb may do what its code calls, and nothing else."""

from calls import calls_of
from stack import read

# What the pass of the functions calls too, and what these verbs use of it.
SHARED = {
    "ecr:BatchGetImage",
    "ecr:DescribeImageScanFindings",
    "ecr:DescribeImages",
    "ecr:GetDownloadUrlForLayer",
    "inspector2:ListCoverage",
    "inspector2:ListFindings",
}
WRITES = {
    "WritePolicies": {"ecr:DeleteLifecyclePolicy", "ecr:PutLifecyclePolicy"},
    "WriteTags": {"ecr:BatchDeleteImage", "ecr:PutImage"},
}


def statements(name):
    return read("samples/registry-care.yaml")["Resources"][name]["Properties"]["PolicyDocument"]["Statement"]


def actions(name, service):
    listed = [s["Action"] if isinstance(s["Action"], list) else [s["Action"]] for s in statements(name)]
    return {action for actions in listed for action in actions if action.split(":")[0] in service}


def test_each_policy_allows_what_the_code_of_its_verbs_calls():
    called = {f"{service}:{operation}" for service, operation in calls_of("ecr/care")}
    written = set().union(*WRITES.values())
    assert actions("Read", {"ecr", "inspector2"}) == (called - written) | SHARED
    for name, expected in WRITES.items():
        assert actions(name, {"ecr"}) == expected
    assert written <= called


def test_only_the_audit_trail_and_the_keep_tags_are_written():
    for name in WRITES:
        [table] = [s for s in statements(name) if s["Sid"] == "WriteAuditTrail"]
        assert table["Action"] == "dynamodb:BatchWriteItem"
        keys = table["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        assert set(keys if isinstance(keys, list) else [keys]) <= {"care#*", "keep#*"}


def test_nothing_is_wild_but_what_takes_no_resource():
    for name in ["Read", *WRITES]:
        for statement in statements(name):
            assert statement["Resource"] != "*" or statement["Sid"] == "ReadRegistry", statement
