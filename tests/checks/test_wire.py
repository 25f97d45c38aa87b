"""What adapters ask of the fakes and what the fakes answer, against botocore's models.

The tests of the adapters write these calls to tests/fixtures/wire. An answer may leave out what the service always sends, but may
not have what the model does not know.
"""

import json
import pathlib

import botocore.session
import pytest
from botocore.validate import ParamValidator

FILES = sorted((pathlib.Path(__file__).resolve().parents[1] / "fixtures/wire").glob("*.json"))
SCALARS = {
    "string": str,
    "blob": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
}


def ecr():
    return botocore.session.get_session().get_service_model("ecr")


def wrong(shape, value, path):
    """Yields where an answer is not what its shape says."""
    if value is None:
        return
    if shape.type_name == "structure":
        if not isinstance(value, dict):
            yield f"{path}: not a structure"
            return
        for name, member in value.items():
            if name in shape.members:
                yield from wrong(shape.members[name], member, f"{path}.{name}")
            else:
                yield f"{path}.{name}: not in the model"
    elif shape.type_name == "list":
        for number, member in enumerate(value):
            yield from wrong(shape.member, member, f"{path}[{number}]")
    elif shape.type_name == "map":
        for name, member in value.items():
            yield from wrong(shape.value, member, f"{path}.{name}")
    elif not isinstance(value, SCALARS[shape.type_name]):
        yield f"{path}: {value!r} is no {shape.type_name}"
    elif shape.enum if shape.type_name == "string" else False:
        if value not in shape.enum:
            yield f"{path}: {value!r} is not one of {shape.enum}"


def problems(call):
    """Yields what is wrong with a call and its answer."""
    operation = ecr().operation_model(call["operation"])
    given = {name: value for name, value in call["input"].items() if value is not None}
    report = ParamValidator().validate(given, operation.input_shape)
    if report.has_errors():
        yield f"{call['operation']}: {report.generate_report()}"
    if call["status"] == 200:
        yield from wrong(operation.output_shape, call["output"], call["operation"])
    else:
        code = call["output"]["__type"]
        if code not in {shape.name for shape in operation.error_shapes}:
            yield f"{call['operation']}: {code} is no error of it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_fakes_answer_as_the_models_say(path):
    calls = json.loads(path.read_text())
    assert calls
    assert [problem for call in calls for problem in problems(call)] == []


def test_what_no_model_knows_is_found():
    page = {"operation": "DescribeImages", "input": {"repositoryName": "a/b"}, "status": 200, "output": {"imageDetails": [{"digest": "x"}]}}
    assert list(problems(page)) == ["DescribeImages.imageDetails[0].digest: not in the model"]
    refused = {**page, "status": 400, "output": {"__type": "NoSuchThing"}}
    assert list(problems(refused)) == ["DescribeImages: NoSuchThing is no error of it"]
    assert list(problems({**page, "input": {"repositoryName": 3}}))
