"""Two engines of CEL, each with the same question: does an expression hold for these variables?

Google's own in C++, from which Kubernetes' engine in Go takes its conformance tests, and one in Python alone. An error of an
expression is an answer too: with `failurePolicy: Fail` the API server refuses what it cannot evaluate.
"""

import celpy
from cel_expr_python import cel

NAMES = ("object", "oldObject", "params", "request", "variables")


class Cpp:
    """Google's engine in C++."""

    def __init__(self):
        self._env = cel.NewEnv(variables={name: cel.Type.DYN for name in NAMES})

    def evaluate(self, expression, values):
        value = self._env.compile(expression).eval(data=values)
        if value.type() == cel.Type.ERROR:
            raise ValueError(str(value.plain_value()))
        return _plain(value.plain_value())


class Python:
    """cel-python, which is written independently."""

    def __init__(self):
        self._env = celpy.Environment()

    def evaluate(self, expression, values):
        program = self._env.program(self._env.compile(expression))
        return _plain(program.evaluate({name: celpy.json_to_cel(value) for name, value in values.items()}))


ENGINES = (Cpp, Python)


def _plain(value):
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, str):
        return str(value)
    return bool(value)


def admits(engine, policy, params, case):
    """Tells whether a policy admits a pod, as the API server decides: conditions, variables, validations."""
    spec = policy["spec"]
    old = case.get("oldObject")
    values = {
        "object": case["object"],
        "oldObject": old,
        "params": params,
        "request": {"operation": "UPDATE" if old else "CREATE"},
        "variables": {},
    }
    try:
        if not all(engine.evaluate(one["expression"], values) for one in spec.get("matchConditions", [])):
            return True
        for variable in spec.get("variables", []):
            values["variables"][variable["name"]] = engine.evaluate(variable["expression"], values)
        return all(engine.evaluate(one["expression"], values) for one in spec["validations"])
    except Exception:  # noqa: BLE001 - whatever the engine calls it, the API server refuses
        return False
