#!/usr/bin/env python3
"""Compares tests/answers.txt with botocore's models: each documented error of each call, each value of each enumeration.

    tests/checks/answers.py        says which rows are missing, are no longer documented, or are not filled in
    tests/checks/answers.py --add  writes the table again: adds the missing rows, to be filled in, and drops the others

The calls are read from the adapters' source, so that a new call needs its rows too.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "infra" / "tests"))

import botocore.session  # noqa: E402
import calls  # noqa: E402

TABLE = ROOT / "tests" / "answers.txt"
FAULTS = ROOT / "shared" / "sim" / "src" / "faults" / "kind.rs"
TESTS = ROOT / "shared" / "aws" / "src" / "answers"
TO_FILL_IN = "?"

# What every call may answer besides, by the common errors in each service's API reference.
COMMON = [("AccessDeniedException", 400), ("ThrottlingException", 400), ("InternalFailure", 500)]
COMMON_OF = {
    "iam": [("AccessDenied", 403), ("Throttling", 400), ("InternalFailure", 500)],
    "s3": [("AccessDenied", 403), ("SlowDown", 503), ("InternalError", 500)],
    "sts": [("AccessDenied", 403), ("Throttling", 400), ("InternalFailure", 500)],
}

# The enumerations in answers that Patchwave reads.
ENUMERATIONS = {
    "codepipeline": [
        "ActionExecutionStatus",
        "ExecutionMode",
        "PipelineExecutionStatus",
        "StageExecutionStatus",
        "TriggerType",
    ],
    "ecr": ["FindingSeverity", "ImageFailureCode", "ScanFrequency", "ScanStatus", "ScanType"],
    "inspector2": [
        "EcrPullDateRescanDuration",
        "EcrPullDateRescanMode",
        "EcrRescanDuration",
        "ScanStatusCode",
        "ScanStatusReason",
    ],
}

# Where no fault of the simulator is named; the head of the table says what each means.
NO_FAULT = {"world", "none", "outside", "impossible"}


def model(service):
    return botocore.session.get_session().get_service_model(service)


def status(shape):
    error = shape.metadata.get("error") or {}
    is_fault = shape.metadata.get("fault") or "Internal" in shape.name or shape.name.startswith("Server")
    return error.get("httpStatusCode", 500 if is_fault else 400)


def called():
    """Returns the calls that the adapters make, each as its service and its operation."""
    return set().union(*calls.calls().values())


def documented():
    """Returns each documented answer with its HTTP status: {(service, operation or enumeration, answer): status}."""
    answers = {}
    for service, operation in sorted(called()):
        for shape in model(service).operation_model(operation).error_shapes:
            answers[service, operation, (shape.metadata.get("error") or {}).get("code", shape.name)] = str(status(shape))
        for code, number in COMMON_OF.get(service, COMMON):
            answers.setdefault((service, operation, code), str(number))
    for service, names in ENUMERATIONS.items():
        for name in names:
            answers.update({(service, name, value): "-" for value in model(service).shape_for(name).enum})
    return answers


def read(path=TABLE):
    """Returns the table's head, and its rows: {(service, operation, answer): [status, meaning, fault, test]}."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return [line for line in lines if line.startswith("#")], {tuple(row[:3]): row[3:] for row in rows}


def write(head, rows):
    table = [[*key, *cells] for key, cells in sorted(rows.items())]
    widths = [max(len(row[column]) for row in table) for column in range(7)]
    lines, group = list(head), None
    for row in table:
        if row[:2] != group:
            lines.append("")
            group = row[:2]
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    TABLE.write_text("\n".join(lines) + "\n")


def faults():
    """Returns the names of the faults that the simulator injects."""
    text = FAULTS.read_text().split("pub enum InjectedFault {")[1].split("\n}")[0]
    return set(re.findall(r"^    (\w+),", text, re.M))


def tests():
    """Returns the tests that check rows of the table."""
    text = "".join(path.read_text() for path in TESTS.glob("*.rs"))
    functions = re.findall(r"^async fn (\w+)\(\) \{$(.*?)^\}$", text, re.M | re.S)
    return {name for name, body in functions if f'check("{name}"' in body}


def problems(rows, expected, known_faults, known_tests):
    """Yields what is wrong with the table, in a line each."""
    for key in sorted(expected.keys() - rows.keys()):
        yield f"{' '.join(key)}: no row"
    for key in sorted(rows.keys() - expected.keys()):
        yield f"{' '.join(key)}: not documented"
    for key, cells in sorted(rows.items()):
        name = " ".join(key)
        if len(cells) != 4 or TO_FILL_IN in cells:
            yield f"{name}: a cell is empty"
            continue
        number, _, fault, test = cells
        if number != expected.get(key, number):
            yield f"{name}: its status is {expected[key]}"
        if fault not in known_faults | NO_FAULT:
            yield f"{name}: the simulator has no fault {fault}"
        if test not in known_tests:
            yield f"{name}: there is no test {test}"


def main():
    head, rows = read()
    expected = documented()
    if sys.argv[1:] == ["--add"]:
        empty = [TO_FILL_IN] * 3
        rows = {key: [number, *rows.get(key, [number, *empty])[1:]] for key, number in expected.items()}
        write(head, rows)
    found = list(problems(rows, expected, faults(), tests()))
    print("\n".join(found))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
