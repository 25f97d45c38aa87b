//! What a sweep costs, and what it says if it is cut off.

use std::collections::BTreeMap;

use patchwave::hierarchy::Hierarchy;
use patchwave::notice::{Notice, NoticeState, RootCause, Undeployed};
use patchwave::time::Span;
use patchwave_converge::Report;

use super::Simulation;
use crate::demo_hierarchy::DEMO_HIERARCHY;
use crate::observation::Observation;

fn settled() -> Simulation {
    let hierarchy = Hierarchy::parse("demo_hierarchy.yaml", DEMO_HIERARCHY);
    let mut simulation = Simulation::new(hierarchy.map_err(|errors| errors.to_string()).unwrap(), 1);
    // The tick after an hour is over.
    simulation.run_until(Span::minutes(62).after(simulation.now()), &mut |_, _| ()).unwrap();
    simulation
}

/// Lets time pass, and returns the reports.
fn reports(simulation: &mut Simulation, time: Span) -> Vec<Report> {
    let mut reports = Vec::new();
    let mut watch = |_: &Simulation, observation: &Observation| {
        if let Observation::Passed { report, .. } = observation {
            reports.push((**report).clone());
        }
    };
    simulation.run_until(time.after(simulation.now()), &mut watch).unwrap();
    reports
}

#[test]
fn a_sweep_reads_each_image_once() {
    let mut simulation = settled();
    let before = simulation.requests();
    simulation.sweep_now(&mut |_, _| ()).unwrap();
    let [report] = &reports(&mut simulation, Span::minutes(1))[..] else { panic!("one pass") };
    let after = simulation.requests();
    let images = simulation.hierarchy().len() as u64;
    assert_eq!(after.currents.items - before.currents.items, images, "the inventory and the plan share them");
    let totals = report.inventory.expect("the survey succeeded");
    assert_eq!(totals.running, simulation.workloads().len());
    assert_eq!(totals.unknown, 0, "it knows what runs");
}

#[test]
fn a_pass_that_ends_early_says_so_and_ticks_go_on() {
    let mut simulation = settled().with_page_size(5).with_pages(2);
    simulation.sweep_now(&mut |_, _| ()).unwrap();
    let reports = reports(&mut simulation, Span::hours(2));
    let images = simulation.hierarchy().len();
    let first = &reports[0];
    assert_eq!(first.unobserved, images - 10, "two pages of five images");
    let said: Vec<&str> = first.unknown.iter().map(|unknown| unknown.because.as_str()).collect();
    let others = images - 11;
    let cut_off = format!(
        "the pass ended before it observed this image and at least {others} others; the next tick goes on"
    );
    assert_eq!(said, [cut_off.as_str()]);
    assert!(reports.last().is_some_and(|last| last.unobserved == 0 && last.unknown.is_empty()));
    let unobserved: Vec<usize> = reports.iter().map(|report| report.unobserved).collect();
    assert!(unobserved.is_sorted_by(|a, b| a >= b), "each pass leaves less: {unobserved:?}");
}

#[test]
fn a_survey_that_fails_stops_no_pass() {
    let mut simulation = settled();
    simulation.world.state.borrow_mut().stored.is_denied = true;
    simulation.sweep_now(&mut |_, _| ()).unwrap();
    let [report] = &reports(&mut simulation, Span::minutes(1))[..] else { panic!("one pass") };
    assert_eq!(report.held.len() + report.started.len(), simulation.hierarchy().len(), "each has its hold");
    assert_eq!(
        (report.inventory, report.errors.len(), report.is_whole),
        (None, 1, false),
        "it is made again"
    );
}

#[test]
fn the_pass_comes_before_a_survey_that_ended_its_function() {
    let mut simulation = settled();
    simulation.world.state.borrow_mut().stored.is_begun = true;
    let before = simulation.requests();
    simulation.sweep_now(&mut |_, _| ()).unwrap();
    let [report] = &reports(&mut simulation, Span::minutes(1))[..] else { panic!("one pass") };
    assert!(report.inventory.is_some());
    let read = simulation.requests().currents.items - before.currents.items;
    assert_eq!(read, 2 * simulation.hierarchy().len() as u64, "the pass could not wait for the survey");
    assert!(!simulation.world.state.borrow().stored.is_begun, "it has ended this time");
}

#[test]
fn what_is_rebuilt_and_not_deployed_is_one_notice_until_the_last_task_stops() {
    let mut simulation = settled();
    simulation.publish_incident().unwrap();
    let mut sent = Vec::new();
    for _ in 0..18 {
        simulation.sweep_now(&mut |_, _| ()).unwrap();
        let reports = reports(&mut simulation, Span::hours(1));
        sent.extend(reports.into_iter().flat_map(|report| report.notified));
    }
    let mut of_owner: BTreeMap<Option<&str>, Vec<&Notice>> = BTreeMap::new();
    for notice in sent.iter().filter(|notice| notice.root_cause == RootCause::RebuiltNotDeployed) {
        of_owner.entry(notice.owner.as_deref()).or_default().push(notice);
    }
    assert!(!of_owner.is_empty(), "some deployments wait for a release window of hours");
    for (owner, notices) in of_owner {
        let revisions: Vec<u32> = notices.iter().map(|notice| notice.revision).collect();
        assert_eq!(revisions, (1..).take(notices.len()).collect::<Vec<_>>(), "{owner:?}");
        assert_eq!(notices[0].state, NoticeState::Opened, "{owner:?}");
        assert!(notices[0].asked.workloads.iter().all(|asks| asks.edit.is_some()), "{owner:?}");
        let last = notices.last().map(|notice| notice.state);
        let runs = |asks: &Undeployed| {
            let workloads = simulation.workloads();
            workloads.iter().any(|workload| workload.name == asks.workload && workload.digest == asks.old)
        };
        let still = notices.last().is_some_and(|notice| notice.asked.workloads.iter().any(runs));
        assert_eq!(last == Some(NoticeState::Closed), !still, "{owner:?}: closed with the last task");
    }
}
