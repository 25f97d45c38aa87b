"""Computes what Patchwave costs a month, from counted requests and the dated prices of prices.json.

    python3 infra/costs.py [--counted FILE] [--json]

FILE is what `patchwave requests --format json` prints for your hierarchy. Without it, the script takes the scenarios of
requests.json. The constants below are assumptions about what the simulator does not know. Free tiers do not count. Calls to
ECR, CodePipeline and Inspector are free.
"""

import argparse
import json
import pathlib

HERE = pathlib.Path(__file__).parent
DAYS = 30
# Lambda polls each of the two queues all the time: five pollers, each every 20 seconds.
IDLE_POLLS = 2 * 5 * 3 * 60 * 24 * DAYS
# A message is sent, received and deleted. No two messages are assumed to share a request.
REQUESTS_A_MESSAGE = 3
ALARMS = 12
# The inventory's metrics: five for the whole fleet, two for each of four severities, and the mean time to patched. A pass that
# did everything writes no others, but for a prediction that is over.
FIGURES = 5 + 2 * 4 + 1
# Seconds of a pass before it reads an image, and for each image: two pages of ECR, mostly waiting.
PASS_SECONDS, IMAGE_SECONDS = 0.5, 0.05
MEMORY_GB, INVENTORY_GB = 0.25, 0.5
# The size of a log line. Lambda itself writes about one line for each invocation.
LOG_KB = 0.5
# The simulator has no survey. Each day a survey reads three items for each image: what runs, its version and its exposures.
# It writes two: what runs, and where. Each deployment adds writes for what ends and what begins.
SURVEY_READS, SURVEY_WRITES, DEPLOYMENT_WRITES = 3, 2, 4
SURVEYED_KB = 4
# A registry of others answers in a fifth of a second, and is asked about one tag after the other.
UPSTREAM_SECONDS = 0.2
# The table keeps starts for 400 days, in months.
AUDIT_MONTHS = 13.3


def upstream(counted):
    """Returns what a month of watching upstream tags takes: {price: amount}."""
    watched, month = counted.get("upstream"), DAYS / counted["days"]
    if not watched:
        return {}
    asked = watched["requests"]
    seconds = (asked["heads"] + asked["gets"] + asked["tokens"]) * UPSTREAM_SECONDS
    flows = {
        "lambdaGbSecondArm": seconds * MEMORY_GB,
        "dynamodbReadUnit": watched["halfReadUnits"] / 2,
        "dynamodbWriteUnit": watched["writeUnits"],
    }
    return {kind: amount * month for kind, amount in flows.items()}


def requests(counted):
    """Returns a month's requests as three tables {price: amount}: those that vary, the fixed ones, and the rebuilds'."""
    asked, images, month = counted["requests"], counted["images"], DAYS / counted["days"]
    queued, sweeps = [asked["scanComplete"], asked["rebuildFanout"]], asked["inventory"]
    invocations = sum(function["invocations"] for function in [*queued, sweeps])
    lines = sum(function["logLines"] for function in [*queued, sweeps])

    def seconds(*functions):
        return sum(each["invocations"] * PASS_SECONDS + each["images"] * IMAGE_SECONDS for each in functions)

    surveyed = counted["days"] * images
    flows = {
        "lambdaRequest": invocations,
        "lambdaGbSecondArm": seconds(*queued) * MEMORY_GB + seconds(sweeps) * INVENTORY_GB,
        "sqsRequest": REQUESTS_A_MESSAGE * sum(function["messages"] for function in queued),
        "schedulerInvocation": asked["ticks"] + asked["rechecks"] + sweeps["messages"],
        "eventBridgeCustomEvent": asked["notices"]["items"],
        "dynamodbReadUnit": asked["halfReadUnits"] / 2 + surveyed * SURVEY_READS,
        "dynamodbWriteUnit": asked["writeUnits"] + surveyed * SURVEY_WRITES + asked["rollouts"] * DEPLOYMENT_WRITES,
        "s3Get": invocations,
        "logsGb": (lines + invocations) * LOG_KB / 1e6,
    }
    stored = (asked["recordBytes"] + images * SURVEYED_KB * 1e3 + asked["auditBytes"] * month * AUDIT_MONTHS) / 1e9
    watched = upstream(counted)
    varying = {kind: amount * month + watched.get(kind, 0) for kind, amount in flows.items()}
    varying |= {"dynamodbGbMonth": stored, "dynamodbBackupGbMonth": stored}
    fixed = {
        "sqsRequest": IDLE_POLLS,
        "alarmMonth": ALARMS,
        "customMetricMonth": FIGURES,
        "dashboardMonth": 1,
    }
    caused = {
        # A minute for the source beside the build's.
        "codePipelineActionMinute": (asked["buildMinutes"] + asked["builds"]) * month,
        "codeBuildMinuteSmallArm": asked["buildMinutes"] * month,
        "inspectorFirstScan": asked["manifestsBuilt"] * month,
    }
    return varying, fixed, caused


VARYING = {
    "Lambda": ["lambdaRequest", "lambdaGbSecondArm"],
    "SQS": ["sqsRequest"],
    "EventBridge and Scheduler": ["schedulerInvocation", "eventBridgeCustomEvent"],
    "DynamoDB": ["dynamodbReadUnit", "dynamodbWriteUnit", "dynamodbGbMonth", "dynamodbBackupGbMonth"],
    "S3": ["s3Get"],
    "Logs": ["logsGb"],
}
FIXED = {
    "Polling empty queues": ["sqsRequest"],
    "Alarms, metrics, dashboard": ["alarmMonth", "customMetricMonth", "dashboardMonth"],
}
CAUSED = {
    "CodePipeline": ["codePipelineActionMinute"],
    "CodeBuild": ["codeBuildMinuteSmallArm"],
    "Inspector, if scanning is enhanced": ["inspectorFirstScan"],
}
PARTS = {"what varies": VARYING, "what is fixed": FIXED, "the rebuilds": CAUSED}


def costs(counted, prices):
    """Returns what each service costs: {part: {service: amount}}."""
    return {
        part: {name: sum(amounts[kind] * prices[kind] for kind in kinds) for name, kinds in services.items()}
        for (part, services), amounts in zip(PARTS.items(), requests(counted))
    }


def for_a_thousand(counted, prices):
    """Returns the varying costs for 1,000 images: the figure that has a goal."""
    return sum(costs(counted, prices)["what varies"].values()) * 1000 / counted["images"]


def events_a_day(counted):
    """Returns how many events of other services arrive a day for each image."""
    asked = counted["requests"]
    queued = asked["scanComplete"]["messages"] + asked["rebuildFanout"]["messages"]
    return (queued - asked["ticks"] - asked["rechecks"]) / counted["images"] / counted["days"]


def table(scenarios, listed):
    """Returns the table of COSTS.md."""
    prices = listed["prices"]
    found = [costs(counted, prices) for counted in scenarios.values()]
    builds = {name: round(counted["requests"]["builds"] * DAYS / counted["days"]) for name, counted in scenarios.items()}
    heads = [f"{name}: {counted['images']} images, {builds[name]} rebuilds" for name, counted in scenarios.items()]
    lines = [f"| {listed['currency']} a month | " + " | ".join(heads) + " |", "|---" + "|---:" * len(found) + "|"]

    def line(name, amounts, mark=""):
        lines.append(f"| {mark}{name}{mark} | " + " | ".join(f"{mark}{amount:.2f}{mark}" for amount in amounts) + " |")

    for part, services in PARTS.items():
        for name in services:
            line(name, [each[part][name] for each in found])
        line(part, [sum(each[part].values()) for each in found], "**")
    tags = [counted.get("upstream", {}).get("tags", 0) for counted in scenarios.values()]
    lines.append("| upstream tags | " + " | ".join(str(each) for each in tags) + " |")
    of_tags = [sum(amount * prices[kind] for kind, amount in upstream(counted).items()) for counted in scenarios.values()]
    line("what watching them takes of what varies", of_tags)
    line("events a day, for an image", [events_a_day(counted) for counted in scenarios.values()])
    line("what varies, for 1,000 images", [for_a_thousand(counted, prices) for counted in scenarios.values()])
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--counted", type=pathlib.Path, help="what `patchwave requests --format json` printed")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    listed = json.loads((HERE / "prices.json").read_text())
    scenarios = json.loads((HERE / "requests.json").read_text())
    if asked.counted:
        scenarios = {"yours": json.loads(asked.counted.read_text())}
    if asked.json:
        print(json.dumps({name: costs(counted, listed["prices"]) for name, counted in scenarios.items()}, indent=2))
    else:
        print(table(scenarios, listed))
        print(f"\nList prices of {listed['region']} as of {listed['asOf']}, without free tiers.")


if __name__ == "__main__":
    main()
