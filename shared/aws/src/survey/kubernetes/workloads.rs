//! Workloads that run nothing now: scaled to zero, or waiting for their schedule.

use std::collections::BTreeSet;

use super::objects::{CronJob, Metadata, PodSpec, Workload};
use super::server::Server;
use super::workload;
use crate::survey::pace::Pace;
use crate::survey::reading::Reading;

const WORKLOADS: [(&str, &str); 3] = [
    ("Deployment", "/apis/apps/v1/deployments"),
    ("StatefulSet", "/apis/apps/v1/statefulsets"),
    ("DaemonSet", "/apis/apps/v1/daemonsets"),
];
const CRON_JOBS: &str = "/apis/batch/v1/cronjobs";

/// Notes what workloads refer to, except those among the `running` ones.
pub(super) async fn note(
    server: &Server,
    pace: &Pace,
    running: &mut BTreeSet<String>,
    reading: &mut Reading,
) {
    let (cron_jobs, end) = server.list::<CronJob>(pace, CRON_JOBS).await;
    attribute(&cron_jobs, running, reading);
    for job in &cron_jobs {
        refer("CronJob", &job.metadata, &job.spec.job_template.spec.template.spec, running, reading);
    }
    if let Err(missed) = end {
        reading.miss(missed);
    }
    for (kind, path) in WORKLOADS {
        let (workloads, end) = server.list::<Workload>(pace, path).await;
        for workload in &workloads {
            refer(kind, &workload.metadata, &workload.spec.template.spec, running, reading);
        }
        if let Err(missed) = end {
            reading.miss(missed);
        }
    }
}

/// Attributes jobs to the `CronJob` that started them. A job's name is the `CronJob`'s name and the
/// minute, in digits. Otherwise every run would be a workload of its own.
fn attribute(cron_jobs: &[CronJob], running: &mut BTreeSet<String>, reading: &mut Reading) {
    let known: BTreeSet<String> = cron_jobs.iter().map(|job| name("CronJob", &job.metadata)).collect();
    for sighting in reading.sightings() {
        let Some((job, minute)) = sighting.workload.rsplit_once('-') else { continue };
        let cron_job = job.replacen("/Job/", "/CronJob/", 1);
        if minute.bytes().all(|digit| digit.is_ascii_digit()) && known.contains(&cron_job) {
            running.insert(cron_job.clone());
            sighting.workload = cron_job;
        }
    }
}

fn refer(kind: &str, object: &Metadata, pod: &PodSpec, running: &BTreeSet<String>, reading: &mut Reading) {
    let workload = name(kind, object);
    if !running.contains(&workload) {
        for container in pod.all() {
            reading.refers(&workload, &container.name, &container.image, None);
        }
    }
}

fn name(kind: &str, object: &Metadata) -> String {
    workload(&object.namespace, kind, &object.name)
}
