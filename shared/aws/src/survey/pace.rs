//! When a call may be made, and how often it is tried: by AWS's published rates, for each account
//! and region.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use patchwave::time::Timestamp;
use patchwave_converge::{Fault, FaultKind};

use super::bucket::{Bucket, Rate};
use super::budget::Budget;
use super::clock::{Clock, after};
use crate::fault::fault;

/// Calls that share one rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Meter {
    /// ECS's list of clusters.
    EcsClusters,
    /// ECS's tasks, listed and described.
    EcsTasks,
    /// ECS's services, listed and described.
    EcsServices,
    /// ECS's service revisions.
    EcsRevisions,
    /// ECS's task definitions.
    EcsTaskDefinitions,
    Eks,
    /// Kubernetes: its own server throttles.
    Kubernetes,
    /// `GetFunction`.
    LambdaFunction,
    /// Every other call of Lambda's control plane.
    Lambda,
    Batch,
    /// EventBridge's rules.
    Events,
    /// EventBridge Scheduler's schedules.
    Schedules,
}

impl Meter {
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html> and
    /// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
    /// EKS and Batch publish no rate, so they get ECS's rate for clusters. Rules and schedules get
    /// it too, because other callers need most of their published rates. Kubernetes has none.
    const fn rate(self) -> Option<Rate> {
        match self {
            Self::EcsTasks | Self::EcsServices => Some(Rate { burst: 100, per_second: 20 }),
            Self::EcsClusters
            | Self::EcsRevisions
            | Self::EcsTaskDefinitions
            | Self::Eks
            | Self::Batch
            | Self::Events
            | Self::Schedules => Some(Rate { burst: 50, per_second: 20 }),
            Self::LambdaFunction => Some(Rate { burst: 100, per_second: 100 }),
            Self::Lambda => Some(Rate { burst: 15, per_second: 15 }),
            Self::Kubernetes => None,
        }
    }
}

/// How often a call is tried.
const ATTEMPTS: u32 = 6;
/// How long the second attempt waits; each later one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Why something was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missed {
    /// The invocation ends before this call's turn.
    Interrupted,
    /// It was deleted since it was listed.
    Gone,
    /// No server answers: another attempt would only cost another wait.
    Silent(Fault),
    Failed(Fault),
}

impl From<Fault> for Missed {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

/// The pace of one account and region.
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    /// From then on no call is begun; `None` if the invocation has no deadline.
    stop: Option<Timestamp>,
    /// Whether a call's turn came after `stop`. Then no other place is begun either.
    over: AtomicBool,
    buckets: Mutex<BTreeMap<Meter, Bucket>>,
    budget: Arc<Budget>,
}

impl Pace {
    pub(super) fn new(clock: Arc<dyn Clock>, stop: Option<Timestamp>, budget: Arc<Budget>) -> Self {
        Self { clock, stop, over: AtomicBool::new(false), buckets: Mutex::default(), budget }
    }

    /// Returns what all lanes together may still hold.
    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn is_over(&self) -> bool {
        let is_over = self.over.load(Ordering::Relaxed) || self.budget.is_spent();
        is_over || self.stop.is_some_and(|stop| self.now() >= stop)
    }

    /// Waits for the next token.
    pub(super) async fn turn(&self, meter: Meter) -> Result<(), Missed> {
        self.until(self.token(meter)).await
    }

    /// Makes a call when its turn has come, and again if it was throttled or not answered.
    pub(super) async fn call<T, E, R>(
        &self,
        meter: Meter,
        operation: &str,
        call: impl Fn() -> R,
    ) -> Result<T, Missed>
    where
        R: Future<Output = Result<T, SdkError<E>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.retry(meter, || async { call().await.map_err(|error| missed(operation, &error)) }).await
    }

    /// Like [`Self::call`], for a call that returns [`Missed`] itself.
    pub(super) async fn retry<T, R>(&self, meter: Meter, call: impl Fn() -> R) -> Result<T, Missed>
    where
        R: Future<Output = Result<T, Missed>>,
    {
        let mut wait = FIRST_WAIT;
        for _ in 1..ATTEMPTS {
            self.turn(meter).await?;
            match call().await {
                Err(Missed::Failed(fault)) if fault.kind == FaultKind::Throttled => self.empty(meter),
                Err(Missed::Failed(fault)) if fault.kind == FaultKind::Unavailable => {}
                answer => return answer,
            }
            self.until(after(self.now(), wait)).await?;
            wait *= 2;
        }
        self.turn(meter).await?;
        call().await
    }

    async fn until(&self, then: Timestamp) -> Result<(), Missed> {
        if self.stop.is_some_and(|stop| then >= stop) {
            self.over.store(true, Ordering::Relaxed);
            return Err(Missed::Interrupted);
        }
        self.clock.until(then).await;
        Ok(())
    }

    fn token(&self, meter: Meter) -> Timestamp {
        let now = self.now();
        let Some(rate) = meter.rate() else { return now };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.entry(meter).or_insert_with(|| Bucket::new(rate)).take(now)
    }

    fn empty(&self, meter: Meter) {
        let now = self.now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&meter) {
            bucket.empty(now);
        }
    }
}

fn missed<E>(operation: &str, error: &SdkError<E>) -> Missed
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error.code() {
        Some("ClusterNotFoundException" | "ResourceNotFoundException") => Missed::Gone,
        _ => Missed::Failed(fault(operation, error)),
    }
}
