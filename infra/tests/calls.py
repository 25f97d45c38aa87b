"""What the code asks of AWS: the SDK's operations, read out of the adapters' source.

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

# An adapter that not every function reaches, by its module's name: adapters come in one by one, so whoever adds one says
# here who calls it. What is not named here belongs to the pass that all three make.
REACHED_BY = {}

# Where the right to an operation is more than the action of the same name.
ACTIONS = {
    # Under enhanced scanning ECR asks Inspector in the caller's name.
    ("ecr", "DescribeImageScanFindings"): {"ecr:DescribeImageScanFindings", "inspector2:ListFindings"},
    # A transaction needs the rights of its parts, and none of its own: see TRANSACTED.
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
    """Yields every adapter's file with its text, without tests."""
    for path in sorted(ADAPTERS.rglob("*.rs")):
        if path.name in ("fake.rs", "tests.rs", "contract.rs"):
            continue
        text = re.sub(r"//[^\n]*", "", path.read_text())
        yield path, re.split(r"#\[cfg\(test\)\]\s*mod tests \{", text)[0]


def crates():
    """Returns the SDK's crates that the adapters depend on."""
    manifest = (ROOT / "shared/aws/Cargo.toml").read_text().split("[dev-dependencies]")[0]
    return set(re.findall(r"^aws-sdk-(\w+)", manifest, re.M))


def operations(service):
    """Returns a service's operations by the name of the method that makes the call."""
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name): name for name in model.operation_names}


@functools.cache
def calls():
    """Returns what each module asks: {module: {(service, operation)}}."""
    used, texts = {}, {}
    for path, text in sources():
        module = module_of(path)
        if module in ("clients", "fault"):
            continue
        used.setdefault(module, set()).update(re.findall(r"aws_sdk_(\w+)", text))
        texts.setdefault(module, []).append((path, text))
    known = {crate: operations(SERVICES.get(crate, crate)) for crate in crates()}
    found = {}
    for module, files in texts.items():
        for path, text in files:
            here = {
                (SERVICES.get(crate, crate), known[crate][method])
                for crate in used[module]
                for method in re.findall(r"\.\s*(\w+)\(\)", text)
                if method in known[crate]
            }
            assert here or not re.search(r"\.send\(\)", text), f"{path} sends something that is no known operation"
            found.setdefault(module, set()).update(here)
    return {module: made for module, made in found.items() if made}


def transacted():
    text = "".join(text for path, text in sources() if module_of(path) == "dynamodb")
    return {action for part, action in TRANSACTED.items() if re.search(rf"\b{part}::builder\(\)", text)}


def actions_of(function):
    """Returns the IAM actions that a function's code needs, and no others."""
    needed = set()
    for module, made in calls().items():
        if function not in REACHED_BY.get(module, {function}):
            continue
        for service, operation in made:
            needed |= ACTIONS.get((service, operation), {f"{service}:{operation}"})
            if operation == "TransactWriteItems":
                needed |= transacted()
    return needed
