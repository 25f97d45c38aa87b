//! The planner, step by step.

mod attribution;
mod evidence;
mod forecast;
mod hold_texts;
mod holds;
mod laws;
mod limits;
mod notices;
mod order;
mod pipeline;
mod predicted;
mod prediction;
mod proof;
mod pushed;
mod reasons;
mod recheck;
mod records;
mod resolve_claims;
mod retry;
mod slots;
mod starts;
mod unread;
mod upstream;
mod walk;
