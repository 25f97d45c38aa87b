"""The cost table: counted requests, dated prices, and the table that COSTS.md shows."""

import datetime
import json
import re
import sys

from stack import INFRA, read

sys.path.insert(0, str(INFRA))

import costs  # noqa: E402
import count  # noqa: E402

PRICES = json.loads((INFRA / "prices.json").read_text())
COUNTED = json.loads((INFRA / "requests.json").read_text())


def test_the_page_about_costs_shows_the_computed_table():
    assert costs.table(COUNTED, PRICES) in (INFRA / "COSTS.md").read_text(), "run infra/costs.py"


def test_the_smallest_scenario_is_counted_as_it_says():
    name, parameters = next(iter(count.SCENARIOS.items()))
    counted = count.count(parameters)
    assert COUNTED[name] == {"command": COUNTED[name]["command"], **counted}, "run infra/count.py"


def test_every_scenario_stands_with_the_command_that_counted_it():
    assert list(COUNTED) == list(count.SCENARIOS), "run infra/count.py"
    for name, parameters in count.SCENARIOS.items():
        counted, days = COUNTED[name], parameters["days"]
        assert counted["command"].split() == ["patchwave", *count.command(parameters, count.name_of(parameters))]
        assert counted["images"] == parameters.get("hierarchy", counted["images"])
        assert counted["commitsADay"] == parameters["commits-a-day"]
        assert (counted["days"], counted["requests"]["ticks"]) == (days, 96 * days)


def test_a_generated_hierarchy_has_as_many_images_as_it_is_asked_for():
    assert count.hierarchy(400).count("- { id: ") == 400
    assert count.hierarchy(400) == count.hierarchy(400)


def test_the_prices_are_dated_and_every_one_is_used():
    datetime.date.fromisoformat(PRICES["asOf"])
    used = {kind for services in costs.PARTS.values() for kinds in services.values() for kind in kinds}
    assert used == set(PRICES["prices"])
    assert set(PRICES["sources"]) <= used


def test_every_request_is_priced_once():
    for amounts, services in zip(costs.requests(COUNTED["small"]), costs.PARTS.values()):
        assert sorted(kind for kinds in services.values() for kind in kinds) == sorted(amounts)


def test_half_a_month_costs_half_of_what_flows():
    counted = {"days": 15, "images": 0, "requests": COUNTED["small"]["requests"]}
    whole = costs.requests({**counted, "days": 30})
    for kind in ("sqsRequest", "lambdaRequest", "logsGb"):
        assert costs.requests(counted)[0][kind] == 2 * whole[0][kind]
    assert costs.requests(counted)[1] == whole[1]


def test_the_counts_are_made_with_the_templates_windows():
    resources = read("template.yaml")["Resources"]
    source = (INFRA.parent / "shared/sim/src/simulation/queues.rs").read_text()
    for function, event, window in (("ScanComplete", "Scans", "SCANS"), ("RebuildFanout", "Changes", "CHANGES")):
        queue = resources[function]["Properties"]["Events"][event]["Properties"]
        found = re.search(rf"const {window}_WINDOW: Span = Span::seconds\((\d+)\);", source)
        assert int(found[1]) == queue["MaximumBatchingWindowInSeconds"]
        assert int(re.search(r"const LARGEST_BATCH: usize = (\d+);", source)[1]) == queue["BatchSize"]


def test_what_is_assumed_is_what_the_template_says():
    resources = read("template.yaml")["Resources"].values()
    alarms = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::CloudWatch::Alarm"]
    assert len(alarms) == costs.ALARMS
    assert not any("Metrics" in alarm for alarm in alarms), "an alarm that computes is charged for each of its metrics"


def test_more_images_never_cost_less():
    totals = [sum(costs.costs(counted, PRICES["prices"])["what varies"].values()) for counted in COUNTED.values()]
    assert totals == sorted(totals)


def test_the_goal_is_met_with_as_many_events_as_it_assumes():
    goal = COUNTED["goal"]
    assert (goal["images"], round(costs.events_a_day(goal), 1)) == (1000, 2.0)
    assert costs.for_a_thousand(goal, PRICES["prices"]) <= 0.5
