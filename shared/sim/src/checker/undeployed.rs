//! Whether what people are asked to deploy is what still runs.

use patchwave::notice::Undeployed;

use crate::state::State;

impl State {
    /// Finds notices of owners that were not sent, or that name a workload which does not run the
    /// replaced version any more. The last sweep read every place.
    pub(crate) fn wrong_notices_of_owners(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for notified in self.stored.inventory.notified.values() {
            if !notified.sent {
                wrong.push("a notice about what is rebuilt and not deployed was not sent".to_owned());
            }
            let runs = |asks: &&Undeployed| {
                self.workloads.get(&asks.workload).is_some_and(|workload| workload.digest == asks.old)
            };
            let open = notified.asked.workloads.iter().filter(|_| !notified.closed);
            wrong.extend(open.filter(|asks| !runs(asks)).map(|asks| {
                format!(
                    "{} is to be deployed to {}, which does not run {}",
                    asks.new, asks.workload, asks.old
                )
            }));
        }
        wrong
    }
}
