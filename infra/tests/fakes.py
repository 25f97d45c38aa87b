"""Fakes of the commands that a build script calls. They log each call and answer it from a table.

An answer's `outs` are what it says one after the other; the last stays.
"""

import json
import os
import stat
import subprocess
import sys

_FAKE = """#!{python}
import json, os, sys
call = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
here = os.environ["FAKES"]
with open(os.path.join(here, "calls"), "a") as log:
    log.write(json.dumps(call + ["SOURCE_DATE_EPOCH=" + os.environ.get("SOURCE_DATE_EPOCH", "")]) + "\\n")
line = " ".join(call)
for answer in json.load(open(os.path.join(here, "answers"))):
    if all(part in line for part in answer["if"]):
        for path, text in answer.get("files", {{}}).items():
            open(path, "w").write(text)
        asked = sum(all(part in " ".join(json.loads(line)) for part in answer["if"]) for line in open(os.path.join(here, "calls")))
        outs = answer.get("outs", [answer.get("out", "")])
        sys.stdout.write(outs[min(asked, len(outs)) - 1])
        sys.stderr.write(answer.get("err", ""))
        sys.exit(answer.get("code", 0))
sys.exit("no fake answers " + line)
"""

# CodeBuild's images have jq; a developer's machine may not. This is jq's library from PyPI with a command line.
_JQ = """#!{python}
import argparse, json, sys
import jq
line = argparse.ArgumentParser()
line.add_argument("--exit-status", action="store_true")
line.add_argument("--raw-output", action="store_true", required=True)
line.add_argument("--arg", nargs=2, action="append", default=[])
line.add_argument("program")
line.add_argument("file", type=argparse.FileType(), nargs="?", default=sys.stdin)
asked = line.parse_args()
try:
    answers = jq.compile(asked.program, args=dict(asked.arg)).input_text(asked.file.read()).all()
except ValueError as problem:
    sys.stderr.write("jq: error: " + str(problem) + "\\n")
    sys.exit(5)
for answer in answers:
    print(answer if isinstance(answer, str) else json.dumps(answer))
if asked.exit_status:
    sys.exit(4 if not answers else answers[-1] in (None, False))
"""


class Bench:
    """A folder in which a script runs with fake commands."""

    def __init__(self, folder, answers):
        self.folder = folder
        self._fakes = folder / "fakes"
        self._fakes.mkdir()
        for name, fake in (("aws", _FAKE), ("docker", _FAKE), ("jq", _JQ)):
            path = self._fakes / name
            path.write_text(fake.format(python=sys.executable))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        (self._fakes / "answers").write_text(json.dumps(answers))

    def run(self, script, **environment):
        """Runs a script and returns whether it succeeded, and what it said."""
        path = f"{self._fakes}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "FAKES": str(self._fakes), **environment}
        done = subprocess.run([script], cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        return done.returncode == 0, done.stdout + done.stderr

    def calls(self):
        log = self._fakes / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
