"""Counts Patchwave's requests to AWS in a month, and writes infra/requests.json.

    cargo build && python3 infra/count.py [SCENARIO...]

`patchwave requests` simulates each scenario with the functions' own code. The script runs target/debug/patchwave, or the binary
that PATCHWAVE names. The same code and parameters give the same counts. A test counts the smallest scenario again.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
COUNTED = HERE / "requests.json"

# Each scenario is an organisation: its images, and what happens in a month. The smallest is the hierarchy of `patchwave demo`.
# `goal` has as many events as the goal assumes: two a day for each image. The others have twice as many and more.
SCENARIOS = {
    "small": {"days": 30, "commits-a-day": 20, "vulnerabilities-a-month": 8, "seed": 7},
    "medium": {"hierarchy": 400, "days": 30, "commits-a-day": 200, "vulnerabilities-a-month": 20, "seed": 7},
    "goal": {"hierarchy": 1000, "days": 30, "commits-a-day": 260, "vulnerabilities-a-month": 20, "upstream-tags": 60, "seed": 7},
    "large": {"hierarchy": 4000, "days": 30, "commits-a-day": 2000, "vulnerabilities-a-month": 40, "seed": 7},
}

# There is one base image for 50 images, and one platform image for 8.
ON_A_BASE, ON_A_PLATFORM = 50, 8


def hierarchy(images):
    """Returns a hierarchy file: applications on platforms on bases. One application in ten copies from another platform."""
    bases, platforms = max(1, images // ON_A_BASE), max(1, images // ON_A_PLATFORM)
    lines = [
        "version: 1",
        "registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com",
        "policy: { mode: enforce, maxConcurrentBuilds: 50, maxStartsPerDay: 2000 }",
        "images:",
    ]

    def add(name, tier, parent, more=""):
        about = f'tier: {tier}, repository: {name}, tags: ["1"], from: "{parent}", pipeline: {name.replace("/", "-")}'
        lines.append(f"  - {{ id: {name}, {about}{more} }}")

    for number in range(bases):
        add(f"base/os-{number}", "base", f"public.ecr.aws/docker/library/os-{number}:1")
    for number in range(platforms):
        add(f"platform/runtime-{number}", "platform", f"base/os-{number % bases}")
    for number in range(images - bases - platforms):
        copied = f", copyFrom: [platform/runtime-{(number + 1) % platforms}]" if number % 10 == 0 and platforms > 1 else ""
        add(f"apps/app-{number}", "application", f"platform/runtime-{number % platforms}", copied)
    return "\n".join(lines) + "\n"


def command(parameters, file=None):
    """Returns the verb and its options, as requests.json shows them."""
    options = [f"--{name}={value}" for name, value in parameters.items() if name != "hierarchy"]
    return ["requests", *(["--hierarchy", str(file)] if file else []), *options, "--format=json"]


def name_of(parameters):
    """Returns the name that a command shows for a generated hierarchy file; nothing for the demo's."""
    return f"hierarchy({parameters['hierarchy']})" if "hierarchy" in parameters else None


def patchwave():
    """Returns the built binary."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
    binary = pathlib.Path(os.environ.get("PATCHWAVE", target / "debug" / "patchwave"))
    if not binary.exists():
        raise SystemExit(f"{binary} does not exist: run `cargo build`, or name the binary in PATCHWAVE")
    return binary


def count(parameters):
    """Simulates one scenario and returns what `patchwave requests` prints."""
    with tempfile.TemporaryDirectory() as scratch:
        file = None
        if "hierarchy" in parameters:
            file = pathlib.Path(scratch) / "hierarchy.yaml"
            file.write_text(hierarchy(parameters["hierarchy"]))
        # Without the caller's own settings, such as a hierarchy file.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PATCHWAVE_")}
        ran = subprocess.run([patchwave(), *command(parameters, file)], env=environment, stdout=subprocess.PIPE, check=True, timeout=3600)
    return json.loads(ran.stdout)


def main():
    counted = json.loads(COUNTED.read_text()) if COUNTED.exists() else {}
    for name in sys.argv[1:] or SCENARIOS:
        parameters = SCENARIOS[name]
        asked = " ".join(["patchwave", *command(parameters, name_of(parameters))])
        counted[name] = {"command": asked, **count(parameters)}
        COUNTED.write_text(json.dumps({name: counted[name] for name in SCENARIOS if name in counted}, indent=2) + "\n")


if __name__ == "__main__":
    main()
