"""What Patchwave costs a month: the requests that the simulator counted, by the dated list of prices.json.

    python3 infra/costs.py [--counted FILE] [--json]

FILE is what `patchwave requests --format json` prints for your hierarchy; without it, the scenarios of requests.json. What the
simulator cannot know is assumed here, line by line. Free tiers are left out. Calls to ECR, CodePipeline and Inspector are free.
"""

import argparse
import json
import pathlib

HERE = pathlib.Path(__file__).parent
DAYS = 30
# A queue that wakes a function is asked all the time: five pollers, each asking again after 20 s.
IDLE_POLLS = 2 * 5 * 3 * 60 * 24 * DAYS
# A message is sent, received and deleted. Nobody promises that two of them are received together.
REQUESTS_A_MESSAGE = 3
# Alarms with one metric, and the one that is computed of two.
ALARMS, ALARM_METRICS = 10, 2
# The inventory's figures: five of everything, two for each of four severities, and the mean time to patched.
FIGURES = 5 + 2 * 4 + 1
# Seconds that a pass takes before it looks at an image, and for each image: two pages of ECR, mostly waiting.
PASS_SECONDS, IMAGE_SECONDS = 0.5, 0.05
MEMORY_GB, INVENTORY_GB = 0.25, 0.5
# A line of a log. Lambda itself writes about one line's worth for each invocation.
LOG_KB = 0.5
# The survey is not simulated. Daily it reads what it knew of each image: what runs, the version, the clocks; and writes what
# runs and where, with the time. What a deployment ends and begins is written besides.
SURVEY_READS, SURVEY_WRITES, DEPLOYMENT_WRITES = 3, 2, 4
SURVEYED_KB = 4
# How many months' starts the table holds: 400 days.
AUDIT_MONTHS = 13.3


def requests(counted):
    """Returns the month's requests as three tables {price: amount}: Patchwave's that vary, those that do not, and its rebuilds'."""
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
    varying = {kind: amount * month for kind, amount in flows.items()}
    varying |= {"dynamodbGbMonth": stored, "dynamodbBackupGbMonth": stored}
    fixed = {
        "sqsRequest": IDLE_POLLS,
        "alarmMonth": ALARMS,
        "alarmMetricMonth": ALARM_METRICS,
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
    "Asking empty queues": ["sqsRequest"],
    "Alarms, figures, dashboard": ["alarmMonth", "alarmMetricMonth", "customMetricMonth", "dashboardMonth"],
}
CAUSED = {
    "CodePipeline": ["codePipelineActionMinute"],
    "CodeBuild": ["codeBuildMinuteSmallArm"],
    "Inspector, if scanning is enhanced": ["inspectorFirstScan"],
}
PARTS = {"what varies": VARYING, "what does not": FIXED, "its rebuilds": CAUSED}


def costs(counted, prices):
    """Returns what each service costs: {part: {service: amount}}."""
    return {
        part: {name: sum(amounts[kind] * prices[kind] for kind in kinds) for name, kinds in services.items()}
        for (part, services), amounts in zip(PARTS.items(), requests(counted))
    }


def for_a_thousand(counted, prices):
    """Returns what of Patchwave's own costs varies, for 1,000 images: the figure that has a goal."""
    return sum(costs(counted, prices)["what varies"].values()) * 1000 / counted["images"]


def events_a_day(counted):
    """Returns how many events of other services arrive a day, for each image."""
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
