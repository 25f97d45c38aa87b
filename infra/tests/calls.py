"""Reads from the adapters' source which operations of the SDK the code calls.

A fluent call looks like `self.client.describe_images()`, so a method without arguments whose name is an operation of a
service that its module uses is that operation. botocore's models say which operations there are.
"""

import functools
import re

import botocore.session
from botocore import xform_name
from stack import ROOT

ADAPTERS = ROOT / "shared/aws/src"

# The crates whose service has another name in botocore.
SERVICES = {"eventbridge": "events"}

# The adapters that not every function reaches, by the beginning of their path. All others belong to the pass that all three
# functions run. Add a new adapter here if only some functions call it.
REACHED_BY = {
    # What a person reads before anything is deployed.
    "discover": set(),
    # What a person's command reads, and no function.
    "doctor": set(),
    # The inventory's part of the table.
    "dynamodb/inventory": {"inventory"},
    # Lifecycle policies, previews, tags and copies: what people do by the command line, with rights of their own. The inventory
    # writes keep tags if a parameter lets it: test_care.py.
    "ecr/care": set(),
    # How the registry scans, and what Inspector covers.
    "ecr/configuration": {"inventory"},
    "inspector": {"inventory"},
    # The accounts of the organisation.
    "organizations": {"inventory"},
    # What runs where.
    "survey": {"inventory"},
}

# Where the right to an operation is more than the action of the same name.
ACTIONS = {
    # A call that names a version is another action.
    ("s3", "GetObject"): {"s3:GetObject", "s3:GetObjectVersion"},
    ("s3", "ListObjectVersions"): {"s3:ListBucketVersions"},
    # With enhanced scanning, ECR asks Inspector with the caller's permissions. It names no time for a clean image, so every pass
    # then asks Inspector's coverage. All else that Inspector is asked is the inventory's.
    ("ecr", "DescribeImageScanFindings"): {"ecr:DescribeImageScanFindings", "inspector2:ListCoverage", "inspector2:ListFindings"},
    # A schedule delivers with a role. Who makes it must be allowed to pass that role.
    ("scheduler", "CreateSchedule"): {"scheduler:CreateSchedule", "iam:PassRole"},
    # A transaction needs the permissions of its parts, which TRANSACTED names, and none of its own.
    ("dynamodb", "TransactWriteItems"): set(),
}

# A transaction's parts, by the type that builds one.
TRANSACTED = {
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
    "Delete": "dynamodb:DeleteItem",
    "ConditionCheck": "dynamodb:ConditionCheckItem",
}


def module_of(path):
    return path.relative_to(ADAPTERS).parts[0].removesuffix(".rs")


def sources():
    """Yields every adapter's file with its text, without the modules that are compiled for tests alone."""
    texts = {path: re.sub(r"//[^\n]*", "", path.read_text()) for path in sorted(ADAPTERS.rglob("*.rs"))}
    tests = set()
    for path, text in texts.items():
        folder = path.parent if path.stem in ("lib", "mod") else path.with_suffix("")
        tests |= {folder / name for name in re.findall(r"#\[cfg\(test\)\]\s*(?:pub(?:\(\w+\))? )?mod (\w+);", text)}
    assert tests, "no module is compiled for tests alone?"
    for path, text in texts.items():
        if not any(path.with_suffix("") == test or test in path.parents for test in tests):
            yield path, re.split(r"#\[cfg\(test\)\]\s*mod \w+ \{", text)[0]


@functools.cache
def crates():
    """Returns the SDK's crates that the adapters depend on."""
    return {crate for crate, _ in dependencies()}


def crates_of_functions():
    """Returns those that are not optional: what is optional serves people's commands, and no function."""
    return {crate for crate, rest in dependencies() if "optional = true" not in rest}


def dependencies():
    manifest = (ROOT / "shared/aws/Cargo.toml").read_text().split("[dev-dependencies]")[0]
    return re.findall(r"^aws-sdk-(\w+)(.*)", manifest, re.M)


@functools.cache
def operations(service):
    """Returns a service's operations by the name of the method that makes the call."""
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name): name for name in model.operation_names}


@functools.cache
def calls():
    """Returns what each file of the adapters calls: {path: {(service, operation)}}."""
    known = {crate: operations(SERVICES.get(crate, crate)) for crate in crates()}
    used, found = {}, {}
    for path, text in sources():
        used.setdefault(module_of(path), set()).update(named(text))
    for path, text in sources():
        name = str(path.relative_to(ADAPTERS)).removesuffix(".rs").removesuffix("/mod")
        found[name] = {
            (SERVICES.get(crate, crate), known[crate][method])
            for crate in named(text) or used[module_of(path)]
            for method in re.findall(r"\.\s*(\w+)\(\)", text)
            if method in known[crate]
        }
        # The SDK's own client of STS.
        if "AssumeRoleProvider::builder" in text:
            found[name].add(("sts", "AssumeRole"))
        assert found[name] or not re.search(r"\.send\(\)", text), f"{path} sends something that is no known operation"
    return {name: made for name, made in found.items() if made}


def named(text):
    """Returns the SDK's crates that a file names."""
    return set(re.findall(r"aws_sdk_(\w+)", text)) & crates()


def calls_of(adapter):
    """Returns what all files of an adapter call."""
    return set().union(*(made for name, made in calls().items() if is_in(name, adapter)))


def is_in(name, adapter):
    return name == adapter or name.startswith(f"{adapter}/")


def reaches(function, name):
    """Tells whether a function's code reaches an adapter's file."""
    return all(function in functions for adapter, functions in REACHED_BY.items() if is_in(name, adapter))


def transacted():
    text = "".join(text for path, text in sources() if module_of(path) == "dynamodb")
    return {action for part, action in TRANSACTED.items() if re.search(rf"\b{part}::builder\(\)", text)}


def actions_of(function):
    """Returns the IAM actions that a function's code needs, and no others."""
    needed = set()
    for name, made in calls().items():
        if not reaches(function, name):
            continue
        for service, operation in made:
            needed |= ACTIONS.get((service, operation), {f"{service}:{operation}"})
            if operation == "TransactWriteItems":
                needed |= transacted()
    return needed
