"""The templates as CloudFormation sees them: read, transformed, and deployed into moto."""

import copy
import json
import os
import pathlib

import boto3
import lacking  # noqa: F401  moto learns these types from being imported
import yaml
from moto import mock_aws
from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.parsing import clean_json
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

INFRA = pathlib.Path(__file__).resolve().parent.parent
ROOT = INFRA.parent
REGION = "us-east-1"
# moto's own.
ACCOUNT = "123456789012"

FUNCTIONS = {"ScanComplete": "scan-complete", "RebuildFanout": "rebuild-fanout", "Inventory": "inventory"}


class Short(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, such as `!Ref`."""


def _short(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Short.add_multi_constructor("!", _short)


def read(path):
    """Reads a template as it is written."""
    return yaml.load((INFRA / path).read_text(), Short)


def parameters(template, given):
    """Returns the value of every parameter: the given one, else the default."""
    return {name: str(given.get(name, declared.get("Default", ""))) for name, declared in template.get("Parameters", {}).items()}


def packaged(template):
    """Returns the template as `sam package` leaves it: every function's zip is in a bucket."""
    template = copy.deepcopy(template)
    template.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            binary = resource["Metadata"]["BuildProperties"]["Binary"]
            resource["Properties"]["CodeUri"] = {"Bucket": "packages", "Key": f"{binary}.zip"}
    return template


def transformed(path="template.yaml", **given):
    """Returns the template that CloudFormation makes of a SAM template. The caller has set a Region."""
    template = packaged(read(path))
    values = parameters(template, given)
    session = boto3.session.Session(region_name=REGION)
    translator = Translator(managed_policy_map={}, sam_parser=Parser(), boto_session=session)
    return translator.translate(template, values)


class Stack:
    """A template that was deployed into moto."""

    def __init__(self, name, path="template.yaml", **given):
        # Whatever the caller's credentials are, they stay out.
        os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION=REGION)
        os.environ.pop("AWS_PROFILE", None)
        self.name = name
        self._moto = mock_aws(config={"lambda": {"use_docker": False}})
        self._moto.start()
        try:
            self.template = transformed(path, **given)
            self._deploy(given)
        except BaseException:
            self.close()
            raise

    def close(self):
        self._moto.stop()

    def client(self, service):
        return boto3.client(service, region_name=REGION)

    def _deploy(self, given):
        s3 = self.client("s3")
        s3.create_bucket(Bucket="packages")
        for binary in FUNCTIONS.values():
            s3.put_object(Bucket="packages", Key=f"{binary}.zip", Body=b"PK")
        cloudformation = self.client("cloudformation")
        values = parameters(self.template, given)
        cloudformation.create_stack(
            StackName=self.name,
            TemplateBody=json.dumps(self.template),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()],
        )
        described = cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
        assert described["StackStatus"] == "CREATE_COMPLETE", described
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
        self._map = cloudformation_backends[ACCOUNT][REGION].get_stack(self.name).resource_map

    def exists(self, name):
        """Tells whether a resource's condition holds."""
        condition = self.template["Resources"][name].get("Condition")
        return condition is None or self._map.lazy_condition_map[condition]

    def properties(self, name):
        """Returns a resource's properties with every intrinsic function resolved."""
        return self.resolve(self.template["Resources"][name].get("Properties", {}))

    def resolve(self, value):
        return json.loads(json.dumps(clean_json(copy.deepcopy(value), self._map)))

    def id(self, name):
        """Returns what `!Ref` gives for a resource."""
        return self.resolve({"Ref": name})

    def arn(self, name):
        return self.resolve({"Fn::GetAtt": [name, "Arn"]})
