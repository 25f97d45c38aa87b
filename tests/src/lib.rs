//! The harness of the end-to-end scenarios: the compiled functions under a Lambda runtime API on loopback, against moto
//! and wire-level fakes of what moto gets wrong.

#![expect(clippy::expect_used, clippy::panic, reason = "a harness that breaks is a test that fails")]

pub mod awsjson;
pub mod http;
pub mod moto;
pub mod runtime;
