//! What throttling costs: the calls of a whole wave, from the finding to the last proof, with and
//! without throttling.

use patchwave::hierarchy::Hierarchy;
use patchwave::policy::Mode;
use patchwave::trigger::Trigger;
use patchwave_converge::{Budget, PassSettings, converge};
use patchwave_tests::harness::{Harness, Setup};
use patchwave_tests::traffic::Throttle;

use super::{AwsWorld, wired};

/// The functions' world, on the account's fakes.
fn world(account: &Harness) -> AwsWorld {
    let settings = account.settings();
    let url = |service: &str| settings[&format!("AWS_ENDPOINT_URL_{service}")].clone();
    wired::world(url, account.hierarchy.registry(), &settings["PATCHWAVE_TABLE"])
}

struct Cost {
    calls: usize,
    refused: usize,
}

/// Rebuilds eleven images because of a critical finding in their base, without any event, and
/// counts the calls.
async fn wave(throttle: Throttle) -> Cost {
    let account = Harness::start(Setup::default()).await;
    account.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    account.traffic.begin(throttle);
    for pass in 0..40 {
        // Each invocation has a world of its own.
        pass_over(&world(&account), &account.hierarchy, Trigger::Sweep, pass).await;
        let running = account.pipelines.running();
        if running.is_empty() {
            break;
        }
        for execution in running {
            account.end_build(&execution).await;
        }
    }
    let builds = account.builds();
    assert_eq!((builds.len(), builds.values().sum::<usize>()), (11, 11), "each once: {builds:?}");
    Cost { calls: account.traffic.calls(), refused: account.traffic.refused() }
}

async fn pass_over(world: &AwsWorld, hierarchy: &Hierarchy, trigger: Trigger, pass: usize) {
    let settings =
        PassSettings { mode: Mode::Enforce, owner: format!("pass-{pass}"), budget: Budget::default() };
    let report = Box::pin(converge(world, hierarchy, &[trigger], &settings)).await.unwrap();
    assert_eq!(report.errors, [], "no call ran out of attempts");
}

#[tokio::test]
async fn a_limit_that_backing_off_gets_under_costs_a_fifth_more_calls() {
    let (normal, throttled) = (wave(Throttle::Never).await, wave(Throttle::OneInFive(7)).await);
    assert_eq!(normal.refused, 0);
    assert!(
        throttled.refused * 11 >= normal.calls * 2,
        "a fifth of what was asked for: {}",
        throttled.refused
    );
    assert!(
        throttled.calls * 10 <= normal.calls * 12,
        "{} calls of which {} were refused, and {} without throttling",
        throttled.calls,
        throttled.refused,
        normal.calls
    );
}
