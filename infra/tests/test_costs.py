"""The cost table: computed, dated, and the one that the runbook shows."""

import datetime
import json
import sys

from stack import INFRA, read

sys.path.insert(0, str(INFRA))

import costs  # noqa: E402

PRICES = json.loads((INFRA / "prices.json").read_text())


def test_the_runbook_shows_the_computed_table():
    assert costs.table(costs.SCENARIOS, PRICES) in (INFRA / "README.md").read_text(), "run infra/costs.py"


def test_the_prices_are_dated_and_every_one_is_used():
    datetime.date.fromisoformat(PRICES["asOf"])
    used = {kind for kinds in [*costs.SERVICES.values(), *costs.CAUSED.values()] for kind in kinds}
    assert used == set(PRICES["prices"])
    assert set(PRICES["sources"]) <= used


def test_every_request_is_priced_once():
    own, caused = costs.requests(costs.SCENARIOS["small"])
    for amounts, services in ((own, costs.SERVICES), (caused, costs.CAUSED)):
        assert sorted(kind for kinds in services.values() for kind in kinds) == sorted(amounts)


def test_the_model_knows_the_template():
    resources = read("template.yaml")["Resources"].values()
    alarms = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::CloudWatch::Alarm"]
    metrics = [sum("MetricStat" in metric for metric in alarm.get("Metrics", [])) for alarm in alarms]
    assert sum(count == 0 for count in metrics) == costs.ALARMS
    assert sum(metrics) == costs.ALARM_METRICS


def test_more_images_never_cost_less():
    totals = [sum(costs.costs(s, PRICES["prices"])[0].values()) for s in costs.SCENARIOS.values()]
    assert totals == sorted(totals)
