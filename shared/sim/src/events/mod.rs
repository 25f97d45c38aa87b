//! Events as EventBridge delivers them, in the formats of AWS.

mod pipelines;
mod registry;
mod scans;

use patchwave::image::{EcrRegistry, Repository};
use patchwave::time::Timestamp;
use patchwave::trigger::{AccountRegion, Trigger};
use serde_json::{Value, json};

use crate::draw::{hex, uuid};

/// An event on its way: the trigger that Patchwave parses it into, and its JSON.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) trigger: Trigger,
    /// The same on every copy, like the event id of AWS.
    pub(crate) number: u64,
    /// Nothing where no function or test reads it.
    pub(crate) json: Option<Value>,
}

/// Writes the events of one account and region.
#[derive(Debug, Clone)]
pub(crate) struct EventWriter {
    registry: EcrRegistry,
    written: u64,
    /// Whether events are written as JSON. That takes longer than most scenarios, which need only
    /// the triggers.
    pub(crate) is_writing: bool,
}

impl EventWriter {
    pub(crate) fn new(registry: EcrRegistry) -> Self {
        Self { registry, written: 0, is_writing: true }
    }

    /// The schedule of the ticks, or that of the sweeps, runs.
    pub(crate) fn scheduled(&mut self, trigger: Trigger, now: Timestamp) -> Delivery {
        let rule = if trigger == Trigger::Sweep { "patchwave-sweep" } else { "patchwave-tick" };
        self.delivery(trigger, |writer| {
            let arn = writer.arn("events", &format!("rule/{rule}"));
            writer.write("aws.events", "Scheduled Event", now, Some(arn), &json!({}))
        })
    }

    fn account_region(&self) -> AccountRegion {
        AccountRegion {
            account: self.registry.account().to_owned(),
            region: self.registry.region().to_owned(),
        }
    }

    /// Writes an event about a repository in the account and Region of its registry, where the
    /// repository has its own name.
    fn in_registry_of(
        &mut self,
        repository: &Repository,
        write: impl FnOnce(&mut Self, &Repository) -> Delivery,
    ) -> Delivery {
        let (Some(registry), name) = repository.split() else { return write(self, repository) };
        let name = name.parse().unwrap_or_else(|_| repository.clone());
        let home = std::mem::replace(&mut self.registry, registry);
        let delivery = write(self, &name);
        self.registry = home;
        delivery
    }

    /// Numbers an event, and writes it if anybody reads it.
    fn delivery(&mut self, trigger: Trigger, json: impl FnOnce(&Self) -> Value) -> Delivery {
        self.written += 1;
        let json = self.is_writing.then(|| json(self));
        Delivery { trigger, number: self.written, json }
    }

    fn write(
        &self,
        source: &str,
        detail_type: &str,
        now: Timestamp,
        resource: Option<String>,
        detail: &Value,
    ) -> Value {
        json!({
            "version": "0",
            "id": uuid(&hex(&format!("event {}", self.written))),
            "detail-type": detail_type,
            "source": source,
            "account": self.registry.account(),
            "time": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": self.registry.region(),
            "resources": resource.into_iter().collect::<Vec<_>>(),
            "detail": detail,
        })
    }

    fn arn(&self, service: &str, name: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{name}", self.registry.region(), self.registry.account())
    }

    fn repository_arn(&self, repository: &Repository) -> String {
        self.arn("ecr", &format!("repository/{repository}"))
    }
}
