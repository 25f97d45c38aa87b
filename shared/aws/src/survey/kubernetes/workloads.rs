//! Workloads that run nothing now: scaled to zero, suspended, or waiting for their schedule.

use std::collections::BTreeSet;

use super::objects::{CronJob, Metadata, PodSpec, Workload};
use super::server::Server;
use super::{custom, replica_sets, workload};
use crate::survey::budget::bounded;
use crate::survey::pace::Pace;
use crate::survey::reading::Reading;

const WORKLOADS: [(&str, &str); 3] = [
    ("Deployment", "/apis/apps/v1/deployments"),
    ("StatefulSet", "/apis/apps/v1/statefulsets"),
    ("DaemonSet", "/apis/apps/v1/daemonsets"),
];
const CRON_JOBS: &str = "/apis/batch/v1/cronjobs";
const JOBS: &str = "/apis/batch/v1/jobs";

/// Notes what workloads refer to, except those among the `running` ones.
pub(super) async fn note(server: &Server, pace: &Pace, running: &BTreeSet<String>, reading: &mut Reading) {
    let runs = cron_jobs_of(reading);
    let refer_job = |found: &mut BTreeSet<String>, job: CronJob, reading: &mut Reading| {
        let name = name("CronJob", &job.metadata);
        if runs.contains(&name) {
            found.insert(name);
        } else {
            refer(&name, &job.spec.job_template.spec.template.spec, reading);
        }
    };
    let (found, end) = server.list(pace, CRON_JOBS, reading, refer_job).await;
    attribute(&found, reading);
    if let Err(missed) = end {
        reading.miss(missed);
    }
    custom::note(server, pace, running, reading).await;
    replica_sets::note(server, pace, reading).await;
    note_suspended_jobs(server, pace, reading).await;
    for (kind, path) in WORKLOADS {
        let refer_workload = |(): &mut (), workload: Workload, reading: &mut Reading| {
            let name = name(kind, &workload.metadata);
            if !running.contains(&name) {
                refer(&name, &workload.spec.template.spec, reading);
            }
        };
        let ((), end) = server.list(pace, path, reading, refer_workload).await;
        if let Err(missed) = end {
            reading.miss(missed);
        }
    }
}

/// Returns the `CronJob` whose run a job may be, by its name. A job's name is the `CronJob`'s name
/// and the minute, in digits.
fn cron_job(job: &str) -> Option<String> {
    let (job, minute) = job.rsplit_once('-')?;
    let is_run = job.contains("/Job/") && minute.bytes().all(|digit| digit.is_ascii_digit());
    is_run.then(|| job.replacen("/Job/", "/CronJob/", 1))
}

/// Returns the `CronJob`s that run now, if they exist.
fn cron_jobs_of(reading: &mut Reading) -> BTreeSet<String> {
    reading.sightings().iter().filter_map(|sighting| cron_job(&sighting.workload)).collect()
}

/// Attributes jobs to the `CronJob` that started them. Otherwise every run would be a workload of
/// its own.
fn attribute(found: &BTreeSet<String>, reading: &mut Reading) {
    for sighting in reading.sightings() {
        if let Some(cron_job) = cron_job(&sighting.workload).filter(|name| found.contains(name)) {
            sighting.workload = cron_job;
        }
    }
}

/// Notes what suspended Jobs would run. Those of a `CronJob` are its own.
async fn note_suspended_jobs(server: &Server, pace: &Pace, reading: &mut Reading) {
    let refer_job = |(): &mut (), job: Workload, reading: &mut Reading| {
        if job.spec.suspend == Some(true) && job.metadata.controller().is_none() {
            refer(&name("Job", &job.metadata), &job.spec.template.spec, reading);
        }
    };
    let ((), end) = server.list(pace, JOBS, reading, refer_job).await;
    end.unwrap_or_else(|missed| reading.miss_kind("jobs.batch", missed));
}

pub(super) fn refer(workload: &str, pod: &PodSpec, reading: &mut Reading) {
    for (name, image) in pod.images() {
        reading.refers(workload, name, image, None);
    }
}

pub(super) fn name(kind: &str, object: &Metadata) -> String {
    bounded(workload(&object.namespace, kind, &object.name))
}
