"""What Patchwave costs a month, from a model of its requests and the dated list of prices.json.

    python3 infra/costs.py [--images N] [--findings-a-day N] [--commits-a-day N] [--waves-a-month N] [--json]

The model is stated here, line by line. It counts requests as the code makes them and the template configures them; what it
assumes about an organisation is in SCENARIOS. Free tiers are left out. Calls to ECR, CodePipeline and Inspector are free.
"""

import argparse
import dataclasses
import json
import math
import pathlib

DAYS = 30
TICKS = DAYS * 24 * 4
# A queue that wakes a function is asked all the time: five pollers, each asking again after 20 s.
IDLE_POLLS = 2 * 5 * 3 * 60 * 24 * DAYS
# Alarms with one metric, and the one that is computed of two.
ALARMS, ALARM_METRICS = 10, 2
# The inventory's figures: five of everything, two for each of four severities, and the mean time to patched.
FIGURES = 5 + 2 * 4 + 1
# Seconds that a pass takes before it looks at an image, and for each image: two pages of ECR, mostly waiting.
PASS_SECONDS, IMAGE_SECONDS = 0.5, 0.05
MEMORY_GB, INVENTORY_GB = 0.25, 0.5
# A record with its reasons, and what a pass logs: one line for each image that it holds.
RECORD_KB, LOG_KB = 4, 0.5
# A batch holds what comes within its window, so a scan's many findings are one pass.
EVENTS_A_BATCH = 20
BUILD_MINUTES = 4
# Ticks that a wave's passes ask for between two, at most one in two minutes: three levels, each with a build and a scan.
LOOKS_A_WAVE = 3 * (BUILD_MINUTES // 2 + 1 + 2)


@dataclasses.dataclass
class Scenario:
    """An organisation."""

    images: int
    findings_a_day: int
    commits_a_day: int
    # Base images that are rebuilt a month, and how many images follow each.
    waves_a_month: int
    wave: int

    @property
    def builds(self):
        return self.waves_a_month * self.wave


SCENARIOS = {
    "small": Scenario(images=40, findings_a_day=50, commits_a_day=20, waves_a_month=8, wave=10),
    "medium": Scenario(images=400, findings_a_day=500, commits_a_day=200, waves_a_month=20, wave=40),
    "large": Scenario(images=4000, findings_a_day=5000, commits_a_day=2000, waves_a_month=40, wave=200),
}


def requests(s):
    """Returns the month's requests: {price: amount}, Patchwave's own and what its rebuilds cause."""
    pushes = s.commits_a_day * DAYS + s.builds
    # A scan event for each push; a push event for each of two tags, and the end of its pipeline.
    scan_events, change_events = s.findings_a_day * DAYS + pushes, 3 * pushes
    woken = math.ceil(scan_events / EVENTS_A_BATCH) + math.ceil(change_events / EVENTS_A_BATCH)
    # A pass looks at the image of its event, its ancestors and children; a tick at what is unsettled.
    looks = s.waves_a_month * LOOKS_A_WAVE
    looked_at = woken * min(s.images, 10) + TICKS * min(s.images, s.builds / TICKS * 8 + 1) + looks * s.wave
    swept = DAYS * s.images
    passes = woken + TICKS + looks + DAYS
    seconds = (woken + TICKS + looks) * PASS_SECONDS + looked_at * IMAGE_SECONDS
    units = math.ceil(RECORD_KB / 4)
    # Claimed, confirmed, judged and settled; a claim is a transaction of four writes, which count twice.
    writes = s.builds * (3 * RECORD_KB + 2 * (RECORD_KB + 4)) + swept * 0.05 * RECORD_KB
    own = {
        "lambdaRequest": passes,
        "lambdaGbSecondArm": seconds * MEMORY_GB + DAYS * (PASS_SECONDS + s.images * IMAGE_SECONDS) * INVENTORY_GB,
        "sqsRequest": IDLE_POLLS + 2 * (scan_events + change_events + TICKS + looks),
        "schedulerInvocation": TICKS + looks + DAYS,
        "eventBridgeCustomEvent": s.waves_a_month * 2,
        "dynamodbReadUnit": (looked_at + swept) * units + 3 * passes,
        "dynamodbWriteUnit": writes,
        "dynamodbGbMonth": s.images * RECORD_KB / 1e6 + s.builds * 13 * RECORD_KB / 1e6,
        "dynamodbBackupGbMonth": s.images * RECORD_KB / 1e6 + s.builds * 13 * RECORD_KB / 1e6,
        "s3Get": passes,
        "logsGb": (looked_at + swept + passes) * LOG_KB / 1e6,
        "alarmMonth": ALARMS,
        "alarmMetricMonth": ALARM_METRICS,
        "customMetricMonth": FIGURES,
        "dashboardMonth": 1,
    }
    caused = {
        "codePipelineActionMinute": s.builds * (BUILD_MINUTES + 1),
        "codeBuildMinuteSmallArm": s.builds * BUILD_MINUTES,
        "inspectorFirstScan": s.builds,
    }
    return own, caused


SERVICES = {
    "Lambda": ["lambdaRequest", "lambdaGbSecondArm"],
    "SQS": ["sqsRequest"],
    "EventBridge and Scheduler": ["schedulerInvocation", "eventBridgeCustomEvent"],
    "DynamoDB": ["dynamodbReadUnit", "dynamodbWriteUnit", "dynamodbGbMonth", "dynamodbBackupGbMonth"],
    "S3": ["s3Get"],
    "Logs": ["logsGb"],
    "Alarms, figures, dashboard": ["alarmMonth", "alarmMetricMonth", "customMetricMonth", "dashboardMonth"],
}
CAUSED = {
    "CodePipeline": ["codePipelineActionMinute"],
    "CodeBuild": ["codeBuildMinuteSmallArm"],
    "Inspector, if scanning is enhanced": ["inspectorFirstScan"],
}


def costs(scenario, prices):
    """Returns two tables: what Patchwave itself costs by service, and what its rebuilds cost."""
    own, caused = requests(scenario)

    def priced(services, amounts):
        return {name: sum(amounts[kind] * prices[kind] for kind in kinds) for name, kinds in services.items()}

    return priced(SERVICES, own), priced(CAUSED, caused)


def table(scenarios, listed):
    """Returns the README's table."""
    found = {name: costs(scenario, listed["prices"]) for name, scenario in scenarios.items()}
    heads = [f"{name}: {s.images} images, {s.builds} rebuilds" for name, s in scenarios.items()]
    lines = [f"| {listed['currency']} a month | " + " | ".join(heads) + " |", "|---" + "|---:" * len(found) + "|"]
    for part, whole in ((0, "**Patchwave**"), (1, "**its rebuilds**")):
        for name in next(iter(found.values()))[part]:
            lines.append(f"| {name} | " + " | ".join(f"{tables[part][name]:.2f}" for tables in found.values()) + " |")
        sums = (sum(tables[part].values()) for tables in found.values())
        lines.append(f"| {whole} | " + " | ".join(f"**{total:.2f}**" for total in sums) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int)
    parser.add_argument("--findings-a-day", type=int, default=0)
    parser.add_argument("--commits-a-day", type=int, default=0)
    parser.add_argument("--waves-a-month", type=int, default=8)
    parser.add_argument("--wave", type=int, default=10, help="images that a wave rebuilds")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    listed = json.loads((pathlib.Path(__file__).parent / "prices.json").read_text())
    scenarios = SCENARIOS
    if asked.images:
        mine = Scenario(asked.images, asked.findings_a_day, asked.commits_a_day, asked.waves_a_month, asked.wave)
        scenarios = {"yours": mine}
    if asked.json:
        found = {name: costs(scenario, listed["prices"]) for name, scenario in scenarios.items()}
        print(json.dumps({name: {"patchwave": own, "rebuilds": caused} for name, (own, caused) in found.items()}, indent=2))
    else:
        print(table(scenarios, listed))
        print(f"\nList prices of {listed['region']} as of {listed['asOf']}, without free tiers.")


if __name__ == "__main__":
    main()
