"""Measures the time from a process's start to its first request for an event. `infra/measure` runs it."""

import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time
import zipfile

FUNCTIONS = ["scan-complete", "inventory", "rebuild-fanout"]
# The file that Lambda starts, as the template says.
HANDLER = "bootstrap"
NEXT = "/2018-06-01/runtime/invocation/next"
# The services that the functions have clients of.
SERVICES = ["codepipeline", "dynamodb", "ecr", "events", "s3"]

# What a function in Python does at its start: it imports the handler's module, then the runtime asks for an event.
PYTHON = f"""
import http.client, os
import boto3
for service in {SERVICES!r}:
    boto3.client(service)
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
connection = http.client.HTTPConnection(host, int(port))
connection.request("GET", {NEXT!r})
connection.getresponse()
"""

# Goals: zip in MB, milliseconds to the first request.
SIZE, START = 2.5, 3.0


def first_request(listening):
    """Returns when a process asked for an event. A plain socket, because the time of a server would count too."""
    connection, _ = listening.accept()
    asked = connection.recv(4096)
    at = time.perf_counter()
    if not asked.startswith(f"GET {NEXT} ".encode()):
        sys.exit(f"the process asked for {asked[:200]!r} instead of an event")
    return at, connection


def environment(port):
    return {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_LAMBDA_FUNCTION_NAME": "measured",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_LEVEL": "ERROR",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "PATCHWAVE_HIERARCHY": "s3://example/hierarchy.yaml",
        "PATCHWAVE_TABLE": "patchwave",
        "PATCHWAVE_EVENT_BUS": "patchwave",
    }


def once(command):
    """Returns the milliseconds until the process asked, how many of them it computed, and its memory in MB then."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)
        settings = environment(listening.getsockname()[1])
        began = time.perf_counter()
        # With close_fds=False, Python spawns instead of forking. The time is then the process's and not Python's.
        process = subprocess.Popen(command, env=settings, close_fds=False, stderr=subprocess.DEVNULL)
        try:
            at, connection = first_request(listening)
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            threads = pathlib.Path(f"/proc/{process.pid}/task").glob("*/schedstat")
            computed = sum(int(thread.read_text().split()[0]) for thread in threads)
            connection.close()
        finally:
            process.kill()
            process.wait()
    memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return (at - began) * 1000, computed / 1e6, memory / 1024


def many(commands, runs):
    """Returns each command's runs. The commands run in turn, so that other load on the machine affects all of them."""
    for command in commands.values():
        # The first run fills the disk's cache.
        once(command)
    taken = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            taken[name].append(once(command))
    return taken


def unpacked(package):
    """Unpacks a package and returns the binary's path. Refuses a package that Lambda could not start."""
    with zipfile.ZipFile(package) as archive:
        entries = archive.infolist()
        if [entry.filename for entry in entries] != [HANDLER]:
            sys.exit(f"{package} holds {archive.namelist()}, not {HANDLER} alone")
        if not entries[0].external_attr >> 16 & 0o111:
            sys.exit(f"{HANDLER} in {package} cannot be executed")
        binary = pathlib.Path(archive.extract(HANDLER, package.parent))
    binary.chmod(0o755)
    return binary


def main(folder, runs):
    packages = {function: pathlib.Path(folder, function, "bootstrap.zip") for function in FUNCTIONS}
    binaries = {function: unpacked(package) for function, package in packages.items()}
    commands = {function: [str(path)] for function, path in binaries.items()}
    commands["boto3"] = [sys.executable, "-c", PYTHON]
    taken = many(commands, runs)
    median = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in taken.items()}
    print(f"median of {runs} starts; load {os.getloadavg()[0]:.0f} on {os.cpu_count()} processors")
    print("a cold start also downloads the package and starts a machine; `computed` does not depend on the load")
    print(f"{'':16}{'zip MB':>8}{'unpacked':>10}{'to /next, ms':>14}{'best':>8}{'computed':>10}{'RSS MB':>8}")
    for name, (ms, computed, mb) in median.items():
        path = binaries.get(name)
        size = [file.stat().st_size / 1e6 for file in (packages[name], path)] if path else [float("nan")] * 2
        sizes = f"{size[0]:8.2f}{size[1]:10.2f}" if path else " " * 18
        missed = [f"zip over {SIZE} MB"] * (size[0] > SIZE) + [f"start over {START} ms"] * (bool(path) and ms > START)
        print(f"{name:16}{sizes}{ms:14.2f}{min(taken[name])[0]:8.2f}{computed:10.2f}{mb:8.1f}   {'; '.join(missed)}")
    slowest = max(ms for name, (ms, *_) in median.items() if name != "boto3")
    print(f"Python with boto3 takes {median['boto3'][0] / slowest:.0f} times as long as the slowest function")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
