"""The sample pipelines: what they declare, and what their scripts do with fakes of docker and aws."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fakes import Bench
from stack import INFRA, ROOT, Stack, read

CI = INFRA / "samples/ci"
SCRIPTS = ["build", "test", "scan", "publish"]
EVERY_SCRIPT = ["variables", "login", *SCRIPTS]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CANDIDATE, PLATFORM, PUBLISHED, OLD = (f"sha256:{letter * 64}" for letter in "abcd")

SETTINGS = {
    "TIER": "platform",
    "REGISTRY": "111122223333.dkr.ecr.us-east-1.amazonaws.com",
    "REPOSITORY": "platform/node",
    "STABLE_TAGS": "22 22.9",
    "BRANCH": "main",
    "BASE_IMAGE": "111122223333.dkr.ecr.us-east-1.amazonaws.com/base/al2023:2023",
    "PLATFORM": "linux/arm64",
    "FAIL_ON": "CRITICAL",
    "BUILDKIT_IMAGE": "moby/buildkit:buildx-stable-1",
    "SBOM_GENERATOR": "docker/buildkit-syft-scanner:stable-1",
    "COMMIT": COMMIT,
    "COMMIT_DATE": "2026-11-19T06:15:44Z",
    "EXECUTION": "12345678-1234-5678-abcd-12345678abcd",
    "SCAN_TRIES": "2",
    "SCAN_PAUSE": "0",
}


BESIDE = f"sha256:{'e' * 64}"
# As BuildKit writes it: the config is an image's, and its reader would say that it is for no platform.
ATTESTATION = json.dumps(
    {
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": f"sha256:{'1' * 64}"},
        "layers": [{"mediaType": "application/vnd.in-toto+json", "digest": f"sha256:{'2' * 64}"}] * 2,
    }
)
LAYERS = [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": f"sha256:{'3' * 64}"}]
IMAGE = json.dumps({**json.loads(ATTESTATION), "layers": LAYERS})
SAYS_IT_IS_NONE = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}, "artifactType": "application/spdx+json"}


def index(platform, os="unknown", architecture="unknown"):
    """Returns an index of a platform, and of something beside it that calls itself an attestation."""
    image = {"digest": platform, "platform": {"os": "linux", "architecture": "arm64"}}
    beside = {"digest": BESIDE, "platform": {"os": os, "architecture": architecture}, **SAYS_IT_IS_NONE}
    return json.dumps({"manifests": [image, beside]})


LOOKED = {"imageScanCompletedAt": "2026-11-19T06:20:00+00:00"}


def scan(status="ACTIVE", findings=(), **found):
    """Returns a scan's answer: each finding a name, a severity and whether it has a fix."""
    enhanced = [
        {"packageVulnerabilityDetails": {"vulnerabilityId": name}, "severity": severity, "fixAvailable": fix}
        for name, severity, fix in findings
    ]
    found = {"enhancedFindings": enhanced, **found}
    return json.dumps({"imageScanStatus": {"status": status}, "imageScanFindings": found})


def scanned(candidate, published=(), status="ACTIVE"):
    """What docker and aws answer while a candidate is scanned."""
    return [
        {"if": ["imagetools inspect --raw", CANDIDATE], "out": index(PLATFORM)},
        {"if": ["imagetools inspect --raw", PUBLISHED], "out": index(OLD)},
        {"if": ["imagetools inspect --raw", BESIDE], "out": ATTESTATION},
        {"if": ["describe-image-scan-findings", PLATFORM], "out": scan(status, candidate, **LOOKED)},
        {"if": ["describe-image-scan-findings", OLD], "out": scan(findings=published, **LOOKED)},
        {"if": ["list-coverage"], "out": ""},
        {"if": ["batch-get-image", "imageTag=22"], "out": json.dumps({"images": [{"imageId": {"imageDigest": PUBLISHED}}]})},
        {
            "if": ["describe-images"],
            "out": json.dumps(
                {
                    "imageDetails": [
                        {"imageTags": ["main-1"], "imagePushedAt": "2026-11-01T00:00:00Z", "imageDigest": PLATFORM},
                        {"imageTags": ["main-2"], "imagePushedAt": "2026-11-02T00:00:00Z", "imageDigest": PUBLISHED},
                        {"imageTags": ["candidate-3"], "imagePushedAt": "2026-11-03T00:00:00Z", "imageDigest": CANDIDATE},
                    ]
                }
            ),
        },
    ]


BUILT = [
    {"if": ["imagetools inspect", "Manifest.Digest"], "out": f"{PUBLISHED}\n"},
    {"if": ["buildx build"], "files": {"build.json": json.dumps({"containerimage.digest": CANDIDATE})}},
]


@pytest.fixture
def bench(tmp_path):
    folders = iter(range(10))

    def make(answers, candidate=True):
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        if candidate:
            (folder / "candidate.digest").write_text(f"{CANDIDATE}\n")
        return Bench(folder, answers)

    return make


def built(bench, **settings):
    """Builds, and returns the arguments of the build."""
    bench = bench(BUILT, candidate=False)
    done, said = bench.run(CI / "build", **SETTINGS, **settings)
    assert done, said
    [call] = [call for call in bench.calls() if call[1:3] == ["buildx", "build"]]
    return bench, call


OTHER = "222233334444.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.mark.parametrize("host", [SETTINGS["REGISTRY"], OTHER])
def test_the_base_is_the_one_that_patchwave_names_wherever_it_is(bench, host):
    _, call = built(bench, PATCHWAVE_BASE_REFERENCE=f"{host}/base/al2023@{OLD}", PARENT_REGISTRY=OTHER)
    assert f"BASE_IMAGE={host}/base/al2023@{OLD}" in call
    assert f"index:org.opencontainers.image.base.digest={OLD}" in call
    assert f"index:org.opencontainers.image.base.name={SETTINGS['BASE_IMAGE']}" in call


@pytest.mark.parametrize("allowed", [{}, {"PARENT_REGISTRY": ""}, {"PARENT_REGISTRY": OTHER.replace("eu-west-1", "eu-west-2")}])
def test_a_base_in_a_registry_that_the_project_does_not_name_stops_the_build(bench, allowed):
    bench = bench(BUILT, candidate=False)
    done, said = bench.run(CI / "build", **SETTINGS, **allowed, PATCHWAVE_BASE_REFERENCE=f"{OTHER}/base/al2023@{OLD}")
    assert not done and OTHER in said
    assert not bench.calls()


def test_by_hand_the_declared_base_counts_as_it_is_now(bench):
    _, call = built(bench, PATCHWAVE_BASE_REFERENCE="none")
    assert f"BASE_IMAGE={SETTINGS['BASE_IMAGE']}@{PUBLISHED}" in call
    assert f"index:org.opencontainers.image.base.digest={PUBLISHED}" in call


@pytest.mark.parametrize(("given", "hosts"), [({}, 1), ({"PARENT_REGISTRY": OTHER}, 2)])
def test_a_build_logs_in_to_the_registries_of_its_settings(bench, given, hosts):
    bench = bench([{"if": ["get-login-password"], "out": "token"}, {"if": ["login"], "out": ""}])
    done, said = bench.run(CI / "login", **SETTINGS, **given)
    assert done, said
    regions = [call[call.index("--region") + 1] for call in bench.calls() if "--region" in call]
    logged_in = [call[call.index("--password-stdin") + 1] for call in bench.calls() if "--password-stdin" in call]
    assert regions == ["us-east-1", "eu-west-1"][:hosts]
    assert logged_in == [SETTINGS["REGISTRY"], OTHER][:hosts]


def test_a_build_may_pull_from_the_other_registry_that_it_names():
    template = read("samples/pipeline.yaml")
    policy = template["Resources"]["PullFromParentRegistry"]
    assert policy["Condition"] == "HasParentRegistry"
    [statement] = policy["Properties"]["PolicyDocument"]["Statement"]
    host = {"Fn::Split": [".", {"Ref": "ParentRegistry"}]}
    assert statement["Resource"]["Fn::Join"][1][1:3] == [{"Fn::Select": [3, host]}, {"Fn::Select": [0, host]}]
    assert all(action.startswith(("ecr:Batch", "ecr:Get")) for action in statement["Action"])


def test_what_is_written_about_a_build(bench):
    folder, call = built(bench)
    assert f"index:org.opencontainers.image.revision={COMMIT}" in call
    [created] = [a for a in call if a.startswith("index:org.opencontainers.image.created=")]
    assert re.fullmatch(r".*=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)
    assert f"type=sbom,generator={SETTINGS['SBOM_GENERATOR']}" in call and "--provenance=mode=max" in call
    assert "SOURCE_DATE_EPOCH=1795068944" in call
    [output] = [a for a in call if a.startswith("type=image")]
    assert f":candidate-{COMMIT}-{SETTINGS['EXECUTION']}," in output and "rewrite-timestamp=true" in output
    assert (folder.folder / "candidate.digest").read_text().strip() == CANDIDATE


@pytest.mark.parametrize(("asked", "expected"), [("true", True), ("false", False), (None, False)])
def test_no_cache_when_patchwave_says_so(bench, asked, expected):
    _, call = built(bench, **({} if asked is None else {"PATCHWAVE_NO_CACHE": asked}))
    assert ("--no-cache" in call) is expected and ("--pull" in call) is expected


OPENSSL = ("CVE-2026-0001", "CRITICAL", "YES")
UNFIXABLE = ("CVE-2026-0002", "CRITICAL", "NO")
HIGH = ("CVE-2026-0003", "HIGH", "YES")


@pytest.mark.parametrize(
    ("candidate", "published", "settings", "passes"),
    [
        ([], [], {}, True),
        ([OPENSSL], [], {}, False),
        # What is published already never stops the patch for something else.
        ([OPENSSL], [OPENSSL], {}, True),
        ([UNFIXABLE], [], {}, True),
        ([HIGH], [], {}, True),
        ([HIGH], [], {"FAIL_ON": "HIGH"}, False),
        ([OPENSSL], [], {"FAIL_ON": "HIGH"}, False),
        ([OPENSSL], [], {"FAIL_ON": "NEVER"}, True),
        ([OPENSSL], [], {"TIER": "application"}, False),
        ([OPENSSL], [OPENSSL], {"TIER": "application"}, True),
    ],
)
def test_a_candidate_may_not_be_worse_than_what_is_published(bench, candidate, published, settings, passes):
    done, said = bench(scanned(candidate, published)).run(CI / "scan", **{**SETTINGS, **settings})
    assert done is passes, said


@pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE", "PENDING", "SCAN_ELIGIBILITY_EXPIRED", "COMPLETED_IN_PART", None])
def test_unknown_is_never_clean(bench, status):
    done, said = bench(scanned([], status=status)).run(CI / "scan", **{**SETTINGS, "FAIL_ON": "NEVER"})
    assert not done and "the scan of" in said


@pytest.mark.parametrize("fails_on", [CANDIDATE, PUBLISHED])
def test_a_registry_that_does_not_answer_stops_the_candidate(bench, fails_on):
    silent = {"if": ["imagetools inspect --raw", fails_on], "err": "429 Too Many Requests", "code": 1}
    done, said = bench([silent, *scanned([OPENSSL], [OPENSSL])]).run(CI / "scan", **SETTINGS)
    assert not done, said


def answers(*scans, code=0, err=""):
    """What the scan of the candidate's platform says, one after the other."""
    return {"if": ["describe-image-scan-findings", PLATFORM], "outs": list(scans) or [""], "code": code, "err": err}


@pytest.mark.parametrize(
    "premature",
    [
        # Seconds after a push, an enhanced scan may answer so before the findings come.
        scan("COMPLETE"),
        scan("COMPLETE", findingSeverityCounts={"CRITICAL": 5}, **LOOKED),
        # As soon as Inspector watches an image, before its first scan.
        scan("ACTIVE"),
        scan("ACTIVE", [HIGH]),
    ],
)
def test_a_scan_that_is_not_done_is_waited_for_whatever_it_calls_itself(bench, premature):
    done, said = bench([answers(premature), *scanned([])]).run(CI / "scan", **{**SETTINGS, "FAIL_ON": "NEVER"})
    assert not done and "did not come" in said


@pytest.mark.parametrize("first", [scan("COMPLETE"), scan("ACTIVE"), scan("PENDING")])
def test_a_finding_that_comes_late_counts(bench, first):
    late = scan("COMPLETE", [OPENSSL], **LOOKED)
    done, said = bench([answers(first, late), *scanned([])]).run(CI / "scan", **SETTINGS)
    assert not done and OPENSSL[0] in said


def test_what_is_judged_is_the_answer_that_was_waited_for(bench):
    emptied = scan("ACTIVE", **LOOKED)
    done, said = bench([answers(scan("COMPLETE", [OPENSSL], **LOOKED), emptied), *scanned([])]).run(CI / "scan", **SETTINGS)
    assert not done and OPENSSL[0] in said


def test_an_active_scan_without_a_time_is_done_when_inspectors_coverage_says_so(bench):
    covered = {"if": ["inspector2 list-coverage", PLATFORM], "out": "2026-11-19T06:20:00+00:00\n"}
    done, said = bench([answers(scan("ACTIVE")), covered, *scanned([])]).run(CI / "scan", **SETTINGS)
    assert done, said
    denied = {"if": ["inspector2 list-coverage"], "err": "(AccessDeniedException)", "code": 254}
    done, said = bench([answers(scan("ACTIVE")), denied, *scanned([])]).run(CI / "scan", **SETTINGS)
    assert not done and "unreadable" in said


def test_a_scan_that_has_not_begun_is_waited_for(bench):
    missing = answers(code=254, err="(ScanNotFoundException)")
    done, said = bench([missing, *scanned([])]).run(CI / "scan", **SETTINGS)
    assert not done and "did not come" in said


@pytest.mark.parametrize("error", ["(AccessDeniedException)", "(ThrottlingException)", "Could not connect"])
def test_a_scan_that_may_not_be_read_stops_the_candidate(bench, error):
    done, said = bench([answers(code=254, err=error), *scanned([])]).run(CI / "scan", **{**SETTINGS, "FAIL_ON": "NEVER"})
    assert not done and "unreadable" in said and error in said


@pytest.mark.parametrize(
    ("platform", "document", "is_scanned"),
    [
        # The attack: a vulnerable image beside the clean one.
        (("linux", "amd64"), IMAGE, True),
        (("linux", "amd64"), ATTESTATION, True),
        (("unknown", "unknown"), IMAGE, True),
        (("unknown", "unknown"), json.dumps({**json.loads(ATTESTATION), "layers": LAYERS + json.loads(ATTESTATION)["layers"]}), True),
        (("unknown", "unknown"), json.dumps({**json.loads(ATTESTATION), "layers": []}), True),
        (("unknown", "unknown"), json.dumps({"manifests": [{"digest": OLD}]}), True),
        (("unknown", "unknown"), ATTESTATION, False),
    ],
)
def test_only_what_is_an_attestation_goes_without_a_scan(bench, platform, document, is_scanned):
    table = [
        {"if": ["imagetools inspect --raw", CANDIDATE], "out": index(PLATFORM, *platform)},
        {"if": ["imagetools inspect --raw", BESIDE], "out": document},
        {"if": ["imagetools inspect --raw", PUBLISHED], "out": json.dumps({"manifests": [{"digest": OLD}]})},
        {"if": ["describe-image-scan-findings", BESIDE], "out": scan("COMPLETE", [OPENSSL], **LOOKED)},
        *scanned([]),
    ]
    done, said = bench(table).run(CI / "scan", **SETTINGS)
    assert done is not is_scanned, said
    assert (OPENSSL[0] in said) is is_scanned


def test_an_index_without_anything_to_run_is_no_image(bench):
    nothing = {"manifests": json.loads(index(PLATFORM))["manifests"][1:]}
    for document in (nothing, {"manifests": []}):
        table = [{"if": ["imagetools inspect --raw", CANDIDATE], "out": json.dumps(document)}, *scanned([])]
        done, said = bench(table).run(CI / "scan", **SETTINGS)
        assert not done, said


def test_what_cannot_be_read_is_no_attestation(bench):
    silent = {"if": ["imagetools inspect --raw", BESIDE], "err": "403 Forbidden", "code": 1}
    done, said = bench([silent, *scanned([])]).run(CI / "scan", **SETTINGS)
    assert not done and "403" in said


MANIFEST = '{"schemaVersion": 2}'
PUBLISHES = [
    {"if": ["batch-get-image", CANDIDATE], "out": f"{MANIFEST}\n"},
    {"if": ["put-image"]},
]


def put(bench):
    calls = [call for call in bench.calls() if call[1:3] == ["ecr", "put-image"]]
    for call in calls:
        assert call[call.index("--image-digest") + 1] == CANDIDATE
        assert call[call.index("--image-manifest") + 1] == MANIFEST
    return [call[call.index("--image-tag") + 1] for call in calls]


def test_stable_tags_move_and_the_tracked_one_moves_last(bench):
    bench = bench(PUBLISHES)
    done, said = bench.run(CI / "publish", **SETTINGS)
    assert done, said
    assert put(bench) == ["22.9", "22"]


def test_an_application_gets_a_tag_of_its_own_for_every_build(bench):
    bench = bench(PUBLISHES)
    done, said = bench.run(CI / "publish", **{**SETTINGS, "TIER": "application", "STABLE_TAGS": ""})
    assert done, said
    [tag] = put(bench)
    assert tag == f"main-{COMMIT}-{SETTINGS['EXECUTION']}"
    assert len(tag) <= 128


@pytest.mark.parametrize(("error", "passes"), [("(ImageAlreadyExistsException)", True), ("(ImageTagAlreadyExistsException)", False)])
def test_publishing_twice_is_no_error_and_a_taken_tag_is_one(bench, error, passes):
    answers = [PUBLISHES[0], {"if": ["put-image"], "err": f"An error occurred {error}", "code": 254}]
    done, _ = bench(answers).run(CI / "publish", **SETTINGS)
    assert done is passes


def test_no_test_is_no_passed_test(bench):
    assert not bench([{"if": ["pull"]}]).run(CI / "test", **SETTINGS)[0]


def test_the_smoke_test_gets_the_candidate_by_digest(bench):
    bench = bench([{"if": ["pull"]}])
    smoke = bench.folder / "smoke"
    smoke.write_text('#!/bin/sh\necho "tested $1"\n')
    smoke.chmod(0o755)
    done, said = bench.run(CI / "test", **SETTINGS)
    assert done and f"tested {SETTINGS['REGISTRY']}/platform/node@{CANDIDATE}" in said


def test_nothing_is_published_before_it_was_tested_and_scanned():
    spec = yaml.safe_load((CI / "buildspec.yml").read_text())
    build = spec["phases"]["build"]
    assert build["on-failure"] == "ABORT"
    *_, build_it, test_it, scan_it, publish_it, last = build["commands"]
    assert [build_it, test_it, scan_it, publish_it] == [f"ci/{script}" for script in SCRIPTS]
    assert last == 'export PATCHWAVE_DIGEST="$(cat candidate.digest)"'
    assert spec["env"] == {"exported-variables": ["PATCHWAVE_DIGEST"]}
    assert build["commands"][0].split() == ["chmod", "+x", *(f"ci/{script}" for script in EVERY_SCRIPT), "smoke"]
    assert build["commands"][1].split() == ["ci/variables", ">", "execution.env"]


def test_shellcheck_has_nothing_to_say():
    shellcheck = Path(sys.executable).parent / "shellcheck"
    scripts = [CI / script for script in EVERY_SCRIPT] + [INFRA / "measure"]
    done = subprocess.run([shellcheck, *(s for s in scripts if s.exists())], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# The pipeline.


def pipeline():
    return read("samples/pipeline.yaml")["Resources"]["Pipeline"]["Properties"]


def test_every_variable_that_patchwave_sends_is_declared_with_a_default():
    page = (ROOT / "shared/HIERARCHY.md").read_text()
    sent = set(re.findall(r"^\| `(PATCHWAVE_\w+)` \|", page.split("## What your pipelines get")[1].split("\n## ")[0], re.M))
    declared = {variable["Name"]: variable["DefaultValue"] for variable in pipeline()["Variables"]}
    assert set(declared) == sent and all(declared.values())
    assert (pipeline()["PipelineType"], pipeline()["ExecutionMode"]) == ("V2", "QUEUED")


def action():
    [build] = pipeline()["Stages"][1]["Actions"]
    return build["Configuration"]["EnvironmentVariables"]


EXECUTION = {"#{codepipeline.PipelineExecutionId}": SETTINGS["EXECUTION"]}


def resolved(text, **variables):
    """Returns the text as CodePipeline puts values into it: as they are."""
    for name, value in {**EXECUTION, **{f"#{{variables.{name}}}": value for name, value in variables.items()}}.items():
        text = text.replace(name, value)
    return text


def test_the_build_gets_what_its_scripts_read():
    passed = {variable["name"] for variable in json.loads(action())}
    project = read("samples/pipeline.yaml")["Resources"]["Project"]["Properties"]["Environment"]
    passed |= {variable["Name"] for variable in project["EnvironmentVariables"]}
    passed |= set(re.findall("print ([A-Z_]+)", (CI / "variables").read_text()))
    texts = [(CI / name).read_text() for name in [*EVERY_SCRIPT, "buildspec.yml"]]
    asked = set().union(*(re.findall(r"\$\{?([A-Z][A-Z_]+)", text) for text in texts))
    assert asked - passed <= {"SCAN_TRIES", "SCAN_PAUSE", "SOURCE_DATE_EPOCH"}
    assert passed - asked <= {"PATCHWAVE_REASON"}


# What a start can say to end its own value and to set whatever else it likes.
INJECTION = 'false"},{"name":"BUILDKIT_IMAGE","value":"attacker/buildkit"},{"name":"BASH_ENV","value":"/tmp/x'


def test_no_start_can_replace_a_setting():
    hostile = {variable["Name"]: INJECTION for variable in pipeline()["Variables"]}
    given = json.loads(resolved(action(), **hostile))
    assert given == [{"name": "EXECUTION", "value": SETTINGS["EXECUTION"]}]
    # Not through a source's output either, nor in any other action.
    used = set(re.findall(r"#\{([^}]*)\}", json.dumps(pipeline())))
    assert used == {"codepipeline.PipelineExecutionId"}


def test_what_an_action_gets_fits():
    """CodePipeline takes 1,000 characters for a value of an action's configuration, once it is resolved."""
    assert len(resolved(action())) <= 1000


STARTED = {
    "PATCHWAVE_BASE_REFERENCE": f"{SETTINGS['REGISTRY']}/base/al2023@{OLD}",
    "PATCHWAVE_PARENTS": "none",
    "PATCHWAVE_BUILD_KEY": "none",
    "PATCHWAVE_REASON": "Vulnerable,Expired",
    "PATCHWAVE_NO_CACHE": "true",
}
SOURCE = {"CommitId": COMMIT, "AuthorDate": "2026-11-19T06:15:44Z", "CommitMessage": '"; rm -rf /'}


def fetched(bench, started=STARTED, source=SOURCE):
    """Runs ci/variables as the buildspec does, and returns whether the build goes on, and with what."""
    variables = json.dumps([{"name": name, "resolvedValue": value} for name, value in started.items()])
    bench = bench(
        [
            {"if": ["get-pipeline-execution", "--pipeline-name node", SETTINGS["EXECUTION"]], "out": variables},
            {"if": ["list-action-executions", f"pipelineExecutionId={SETTINGS['EXECUTION']}"], "out": json.dumps(source)},
        ]
    )
    commands = yaml.safe_load((CI / "buildspec.yml").read_text())["phases"]["build"]["commands"]
    fetch = next(at for at, command in enumerate(commands) if command.startswith("ci/variables"))
    script = bench.folder / "commands"
    script.write_text("\n".join(["#!/bin/sh", "set -e", *commands[fetch : fetch + 2], "env"]))
    script.chmod(0o755)
    (bench.folder / "ci").symlink_to(CI)
    done, said = bench.run(script, PIPELINE="node", EXECUTION=SETTINGS["EXECUTION"], BUILDKIT_IMAGE="ours")
    return done, said, dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def test_a_build_knows_what_started_it_and_of_which_commit_it_is(bench):
    done, said, environment = fetched(bench)
    assert done, said
    for name in ("PATCHWAVE_BASE_REFERENCE", "PATCHWAVE_REASON", "PATCHWAVE_NO_CACHE"):
        assert environment[name] == STARTED[name]
    assert (environment["COMMIT"], environment["COMMIT_DATE"]) == (COMMIT, SOURCE["AuthorDate"])


def test_a_start_by_hand_has_the_pipelines_defaults(bench):
    defaults = {variable["Name"]: variable["DefaultValue"] for variable in pipeline()["Variables"]}
    done, said, environment = fetched(bench, defaults)
    assert done, said
    assert environment["PATCHWAVE_BASE_REFERENCE"] == "none"


@pytest.mark.parametrize("name", ["PATCHWAVE_BASE_REFERENCE", "PATCHWAVE_NO_CACHE", "PATCHWAVE_REASON"])
@pytest.mark.parametrize(
    "value",
    [INJECTION, "", "true false", "$(id)", "`id`", "true\nBUILDKIT_IMAGE=attacker/buildkit", f"attacker.example/x:1@{OLD}", "x" * 5_000],
)
def test_a_variable_of_another_form_stops_the_build(bench, name, value):
    done, said, environment = fetched(bench, {**STARTED, name: value})
    assert not done and name in said
    assert environment.get("BUILDKIT_IMAGE") is None, "nothing runs after it"
    assert len(said) < 1_000


@pytest.mark.parametrize("name", STARTED.keys() - {"PATCHWAVE_PARENTS", "PATCHWAVE_BUILD_KEY"})
def test_a_variable_that_is_not_there_stops_the_build(bench, name):
    assert not fetched(bench, {key: value for key, value in STARTED.items() if key != name})[0]


@pytest.mark.parametrize("source", [{}, None, {**SOURCE, "CommitId": "refs/pull/666/head"}, {**SOURCE, "AuthorDate": "$(id)"}])
def test_what_is_no_commit_stops_the_build(bench, source):
    assert not fetched(bench, source=source)[0]


@pytest.mark.parametrize(("tier", "mutability"), [("base", "MUTABLE"), ("platform", "MUTABLE"), ("application", "IMMUTABLE")])
def test_tags_move_where_they_are_stable_and_nowhere_else(tier, mutability):
    template = read("samples/repository.yaml")
    assert template["Conditions"]["HasStableTags"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "Tier"}, "application"]}]}
    condition, mutable, immutable = template["Resources"]["Repository"]["Properties"]["ImageTagMutability"]["Fn::If"]
    assert condition == "HasStableTags"
    assert (mutable if tier != "application" else immutable) == mutability


@pytest.mark.parametrize(("given", "whose"), [({}, {"aws:SourceAccount": "123456789012"}), ({"OrganizationId": "o-exampleorg"}, {"aws:SourceOrgID": "o-exampleorg"})])
def test_functions_may_pull_and_of_other_accounts_the_organisation_alone(given, whose):
    stack = Stack(f"shared{len(given)}", "samples/repository.yaml", Tier="application", Name=f"apps/{len(given)}", **given)
    try:
        first, *rest = stack.properties("Repository")["RepositoryPolicyText"]["Statement"]
        assert first["Principal"] == {"Service": "lambda.amazonaws.com"}
        assert first["Condition"] == {"ArnLike": {"aws:SourceArn": "arn:aws:lambda:*:*:function:*"}, "StringEquals": whose}
        # CloudFormation removes AWS::NoValue from a list, and moto does not.
        assert [statement["Condition"] for statement in rest if statement] == [{"StringEquals": {"aws:PrincipalOrgID": "o-exampleorg"}}] * len(given)
    finally:
        stack.close()


def test_codebuilds_image_is_a_choice():
    image = read("samples/pipeline.yaml")["Resources"]["Project"]["Properties"]["Environment"]["Image"]
    assert image["Fn::If"][:2] == ["HasBuildImage", {"Ref": "BuildImage"}]
