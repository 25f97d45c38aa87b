"""The rights of the people who care for registries: each verb may do what its code calls, and nothing else."""

import pytest
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
# What `promote` calls in the registry of an environment, with the role of promote-target.yaml.
COPIES = {
    "ecr:BatchCheckLayerAvailability",
    "ecr:CompleteLayerUpload",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
}
# With what it may ask the registry to mount blobs instead. Without them it copies.
MOUNTS = {"ecr:GetAuthorizationToken"}
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
    assert actions("Read", {"ecr", "inspector2"}) == (called - written - COPIES - MOUNTS) | SHARED
    for name, expected in WRITES.items():
        assert actions(name, {"ecr"}) == expected
    assert written <= called


def test_who_copies_may_add_images_and_nothing_else():
    role = read("samples/promote-target.yaml")["Resources"]["Role"]
    [policy] = role["Properties"]["Policies"]
    [statement] = policy["PolicyDocument"]["Statement"]
    made = {f"{service}:{operation}" for service, operation in calls_of("ecr/care/copy") | calls_of("ecr/care/tag")}
    assert COPIES <= made
    # The listing of the repository, and no removal of a tag.
    assert set(statement["Action"]) == (made | {"ecr:DescribeImages"}) - {"ecr:BatchDeleteImage"}
    [trust] = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert "sts:ExternalId" in trust["Condition"]["StringEquals"]


def test_who_mounts_blobs_may_only_if_a_parameter_names_the_repositories():
    template = read("samples/promote-target.yaml")
    mount = template["Resources"]["Mount"]
    assert mount["Condition"] == "Mounts" and template["Parameters"]["MountFrom"]["Default"] == ""
    log_in, blobs = mount["Properties"]["PolicyDocument"]["Statement"]
    assert {log_in["Action"]} == MOUNTS == {f"{service}:{operation}" for service, operation in calls_of("ecr/care/mount")}
    assert blobs["Action"] == "ecr:GetDownloadUrlForLayer" and blobs["Resource"]["Fn::Sub"].endswith("repository/${MountFrom}")


@pytest.mark.parametrize("template", ["template.yaml", "registry.yaml"])
def test_a_function_may_write_keep_tags_only_where_the_parameter_says_so(template):
    policy = read(template)["Resources"]["WriteKeepTags"]
    assert policy["Condition"] == "KeepsTags"
    assert read(template)["Parameters"]["KeepTags"]["Default"] == "no"
    [statement] = policy["Properties"]["PolicyDocument"]["Statement"]
    made = {f"{service}:{operation}" for service, operation in calls_of("ecr/care/tag")}
    assert set(statement["Action"]) == made - {"ecr:BatchGetImage"} == WRITES["WriteTags"]


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
