"""Times processes from their start to their first request for an event. Started by `infra/measure`."""

import http.server
import io
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time
import zipfile

FUNCTIONS = ["scan-complete", "inventory", "rebuild-fanout"]
NEXT = "/2018-06-01/runtime/invocation/next"
# The services that the functions have clients of.
SERVICES = ["codepipeline", "dynamodb", "ecr", "events", "s3"]

# What a function in Python would do at its start: its handler's module is imported, then the runtime asks for an event.
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


class RuntimeApi(http.server.ThreadingHTTPServer):
    """Lambda's side: notes when a process first asks for an event, and never answers."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = threading.Event()
        self.at = 0.0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def process_request(self, request, client_address):
        super().process_request(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == NEXT and not self.server.asked.is_set():
            self.server.at = time.perf_counter()
            self.server.asked.set()
        # Until the process ends.
        self.rfile.read()

    def log_message(self, *_):
        pass


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
    """Returns the milliseconds until the process asked, and its memory in MB by then."""
    server = RuntimeApi()
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment(server.server_port), stderr=subprocess.PIPE)
    try:
        if not server.asked.wait(timeout=30):
            process.kill()
            sys.exit(f"{command[0]} asked for nothing in 30 s: {process.stderr.read().decode()}")
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        return (server.at - began) * 1000, memory / 1024
    finally:
        process.kill()
        process.wait()
        server.shutdown()
        server.server_close()


def many(command, runs):
    """Returns the medians, after one start that fills the disk's cache."""
    once(command)
    taken = [once(command) for _ in range(runs)]
    return statistics.median(ms for ms, _ in taken), statistics.median(mb for _, mb in taken), min(ms for ms, _ in taken)


def zipped(path):
    """Returns the size in MB of the zip that Lambda gets, made of the file named bootstrap."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(path, "bootstrap")
    return held.tell() / 1e6


def main(folder, runs):
    print(f"{'':16}{'zip MB':>8}{'unpacked':>10}{'first /next ms':>16}{'best':>8}{'RSS MB':>8}   median of {runs}")
    slowest = 0.0
    for function in FUNCTIONS:
        found = pathlib.Path(folder, function)
        if (found / "bootstrap.zip").exists():
            with zipfile.ZipFile(found / "bootstrap.zip") as archive:
                archive.extract("bootstrap", found)
        bootstrap = found / "bootstrap"
        bootstrap.chmod(0o755)
        size, unpacked = zipped(bootstrap), bootstrap.stat().st_size / 1e6
        ms, mb, best = many([str(bootstrap)], runs)
        slowest = max(slowest, ms)
        missed = [f"zip over {SIZE} MB"] * (size > SIZE) + [f"start over {START} ms"] * (ms > START)
        print(f"{function:16}{size:8.2f}{unpacked:10.2f}{ms:16.2f}{best:8.2f}{mb:8.1f}   {'; '.join(missed)}")
    ms, mb, best = many([sys.executable, "-c", PYTHON], max(3, runs // 3))
    print(f"{'boto3':16}{'':8}{'':10}{ms:16.2f}{best:8.2f}{mb:8.1f}   {ms / slowest:.0f} times as long")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
