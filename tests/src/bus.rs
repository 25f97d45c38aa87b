//! `EventBridge`: collects the events of the fakes until a test delivers, repeats, reorders or
//! drops them.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::moto::{ACCOUNT, REGION};

/// The default event bus of the account.
#[derive(Debug)]
pub struct Bus {
    clock: Arc<Clock>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    emitted: u64,
    waiting: Vec<Value>,
}

impl Bus {
    /// Makes an empty bus.
    pub fn new(clock: Arc<Clock>) -> Self {
        Self { clock, queue: Mutex::default() }
    }

    /// Emits an event as the service `source`.
    pub fn emit(&self, source: &str, detail_type: &str, resources: &[String], detail: Value) {
        self.put(self.event(source, detail_type, resources, detail));
    }

    /// Puts an event on the bus.
    pub fn put(&self, event: Value) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.push(event);
    }

    /// Makes an event without putting it on the bus.
    pub fn event(&self, source: &str, detail_type: &str, resources: &[String], detail: Value) -> Value {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.emitted += 1;
        json!({
            "version": "0",
            "id": format!("00000000-0000-4000-8000-{:012}", queue.emitted),
            "detail-type": detail_type,
            "source": source,
            "account": ACCOUNT,
            "time": self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": REGION,
            "resources": resources,
            "detail": detail,
        })
    }

    /// Removes and returns the events on the bus, oldest first.
    pub fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner).waiting)
    }
}
