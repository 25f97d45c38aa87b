"""The admission policies that `patchwave admission` prints, in two engines of CEL and against Kubernetes' schemas."""

import json
import pathlib

import kubernetes_validate
import pytest
import yaml

import cel
import pattern

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures/admission"
CASES = json.loads((FIXTURES / "pods.json").read_text())
# The newest version whose schemas the package has.
VERSION = kubernetes_validate.latest_version()
# What Kubernetes 1.30 and later allow. https://kubernetes.io/docs/reference/using-api/cel/
LONGEST_EXPRESSION = 10_000


def manifests(name):
    return list(yaml.safe_load_all((FIXTURES / name).read_text()))


def of_kind(name, kind):
    return [one for one in manifests(name) if one["kind"] == kind]


@pytest.fixture(scope="module", params=cel.ENGINES, ids=lambda engine: engine.__name__)
def engine(request):
    return request.param()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_pod_is_admitted_only_from_exact_repositories_and_by_digest(engine, case):
    (policy,) = of_kind("policy.yaml", "ValidatingAdmissionPolicy")
    (params,) = of_kind("policy.yaml", "ConfigMap")
    assert cel.admits(engine, policy, params, case) is case["admitted"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_pod_is_admitted_only_with_digests_of_the_list(engine, case):
    (policy,) = of_kind("digests.yaml", "ValidatingAdmissionPolicy")
    (params,) = [one for one in of_kind("digests.yaml", "ConfigMap") if one["metadata"]["namespace"] == "shop"]
    (first,) = of_kind("policy.yaml", "ValidatingAdmissionPolicy")
    (repositories,) = of_kind("policy.yaml", "ConfigMap")
    both = cel.admits(engine, first, repositories, case) and cel.admits(engine, policy, params, case)
    assert both is case["admittedByDigest"]
    assert cel.admits(engine, policy, params, case) is case["admittedByDigestAlone"]


def test_a_list_that_is_missing_refuses(engine):
    good = next(case for case in CASES if case["admitted"])
    for name in ("policy.yaml", "digests.yaml"):
        (policy,) = of_kind(name, "ValidatingAdmissionPolicy")
        assert cel.admits(engine, policy, None, good) is False
        assert cel.admits(engine, policy, {"data": {}}, good) is False
        (binding,) = of_kind(name, "ValidatingAdmissionPolicyBinding")
        assert binding["spec"]["paramRef"]["parameterNotFoundAction"] == "Deny"


def test_the_manifests_are_what_the_schemas_ask_for():
    for name in ("policy.yaml", "digests.yaml"):
        for manifest in manifests(name):
            kubernetes_validate.validate(manifest, VERSION, strict=True)
        (policy,) = of_kind(name, "ValidatingAdmissionPolicy")
        spec = policy["spec"]
        expressions = [one["expression"] for one in spec["validations"] + spec["variables"] + spec["matchConditions"]]
        assert max(map(len, expressions)) < LONGEST_EXPRESSION
        resources = spec["matchConstraints"]["resourceRules"][0]["resources"]
        assert resources == ["pods", "pods/ephemeralcontainers"]


def test_the_system_is_exempt_and_the_first_binding_only_warns():
    for name in ("policy.yaml", "digests.yaml"):
        (binding,) = of_kind(name, "ValidatingAdmissionPolicyBinding")
        assert binding["spec"]["validationActions"] == ["Warn", "Audit"]
        (rule,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
        assert (rule["operator"], set(rule["values"])) == ("NotIn", {"kube-system", "kube-public", "kube-node-lease"})


def test_the_rule_for_ecs_notices_every_image_of_another_repository():
    (template,) = manifests("ecs.yaml")
    (rule,) = template["Resources"].values()
    event_pattern = rule["Properties"]["EventPattern"]
    (wildcards,) = event_pattern["detail"]["containers"]["image"]
    allowed = wildcards["anything-but"]["wildcard"]
    assert len(json.dumps(event_pattern)) <= 4096
    assert all("**" not in one for one in allowed)

    def is_noticed(image):
        return not any(pattern.matches({"image": [{"wildcard": one}]}, {"image": image}) for one in allowed)

    host = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
    for good in ("apps/checkout:main-1", "apps/checkout@sha256:" + "a1" * 32, "apps/checkout", "prod/checkout:1"):
        assert not is_noticed(f"{host}/{good}"), good
    assert not is_noticed("602401143452.dkr.ecr.eu-west-1.amazonaws.com/eks/coredns:1")
    for bad in (f"{host}/apps/checkout-evil:1", f"{host}.evil.io/apps/checkout:1", "nginx:1.27", f"{host}/apps/checkout/evil:1"):
        assert is_noticed(bad), bad
