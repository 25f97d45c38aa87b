//! EventBridge: the events that notify people.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use patchwave::notice::Notice;
use patchwave_converge::{Fault, FaultKind};

use crate::fault::{fault, invalid, kind_of_code};

/// The `source` of all events that Patchwave sends.
pub const SOURCE: &str = "patchwave";
/// The `detail-type` of notices.
pub const DETAIL_TYPE: &str = "Patchwave Root Cause";

/// Most entries of one call.
/// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>
const ENTRIES: usize = 10;

/// The bus that Patchwave sends notices to.
#[derive(Debug, Clone)]
pub(crate) struct Bus {
    client: Client,
    name: String,
}

impl Bus {
    /// `name` is the bus's name or ARN.
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// Sends notices. Returns for each, in their order, whether the bus took it.
    pub(crate) async fn notify(&self, notices: &[Notice]) -> Vec<Result<(), Fault>> {
        let mut answers = Vec::with_capacity(notices.len());
        for some in notices.chunks(ENTRIES) {
            match self.put(some).await {
                Ok(taken) => answers.extend(taken),
                Err(fault) => answers.extend(some.iter().map(|_| Err(fault.clone()))),
            }
        }
        answers
    }

    async fn put(&self, notices: &[Notice]) -> Result<Vec<Result<(), Fault>>, Fault> {
        let operation = || format!("put events on the bus {}", self.name);
        let entries = notices.iter().map(|notice| self.entry(notice)).collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| invalid(operation(), error.to_string()))?;
        let output = self.client.put_events().set_entries(Some(entries)).send().await;
        let output = output.map_err(|error| fault(operation(), &error))?;
        let answers = output.entries();
        if answers.len() != notices.len() {
            let message = format!("{} entries were sent and {} answered", notices.len(), answers.len());
            return Err(invalid(operation(), message));
        }
        // The call succeeds even if entries failed. Each entry has its own error.
        Ok(answers
            .iter()
            .map(|answer| match answer.error_code() {
                None => Ok(()),
                Some(code) => Err(Fault {
                    operation: operation(),
                    kind: kind(code),
                    message: format!("{code}: {}", answer.error_message().unwrap_or_default()),
                }),
            })
            .collect())
    }

    fn entry(&self, notice: &Notice) -> Result<PutEventsRequestEntry, serde_json::Error> {
        Ok(PutEventsRequestEntry::builder()
            .event_bus_name(&self.name)
            .source(SOURCE)
            .detail_type(DETAIL_TYPE)
            .detail(serde_json::to_string(notice)?)
            .build())
    }
}

/// An entry's code comes without an HTTP status.
fn kind(code: &str) -> FaultKind {
    match code {
        "NotAuthorizedForSourceException" | "NotAuthorizedForDetailTypeException" => FaultKind::Denied,
        "MalformedDetail" | "InvalidArgument" => FaultKind::Invalid,
        other => kind_of_code(other, 0),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::fake::{self, count, error};

    fn notice(n: usize) -> Notice {
        serde_json::from_value(json!({
            "id": format!("base/os/vulnerable/{n}"), "revision": 1, "state": "opened", "rootCause": "vulnerable",
            "image": "base/os", "tier": "base", "since": "2026-01-01T12:00:00Z", "needs": ["a rebuild by Patchwave"],
            "exploited": false, "severity": "critical", "findings": ["CVE-1 in openssl"], "findingCount": 1,
            "affectedImages": 12,
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_notice_is_an_event_on_the_bus() {
        let (config, asked) =
            fake::config(1, |_, _| (200, json!({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]})));
        let bus = Bus::new(Client::new(&config), "patchwave".into());
        assert_eq!(bus.notify(&[notice(1)]).await, [Ok(())]);
        let entry = asked.lock().unwrap()[0].1["Entries"][0].clone();
        assert_eq!((&entry["EventBusName"], &entry["Source"]), (&json!("patchwave"), &json!("patchwave")));
        let detail: serde_json::Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
        assert_eq!((&detail["image"], &detail["state"]), (&json!("base/os"), &json!("opened")));
    }

    #[tokio::test]
    async fn each_entry_is_answered_for_itself() {
        let calls = AtomicUsize::new(0);
        let (config, asked) = fake::config(1, move |_, input| {
            let sent = input["Entries"].as_array().unwrap().len();
            if calls.fetch_add(1, Ordering::Relaxed) == 1 {
                return error("AccessDeniedException");
            }
            let answer =
                |n| if n == 3 { json!({"ErrorCode": "InternalFailure"}) } else { json!({"EventId": "1"}) };
            (200, json!({"FailedEntryCount": 1, "Entries": (0..sent).map(answer).collect::<Vec<_>>()}))
        });
        let bus = Bus::new(Client::new(&config), "patchwave".into());
        let answers = bus.notify(&(0..25).map(notice).collect::<Vec<_>>()).await;
        assert_eq!(count(&asked, "PutEvents"), 3, "ten a call");
        let failed: Vec<usize> = (0..25).filter(|n| answers[*n].is_err()).collect();
        assert_eq!(failed, [3, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 23]);
        assert!(matches!(&answers[3], Err(fault) if fault.kind == FaultKind::Unavailable));
        assert!(matches!(&answers[10], Err(fault) if fault.kind == FaultKind::Denied));
    }
}
