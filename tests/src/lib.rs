//! The harness of the end-to-end scenarios: the compiled functions under a Lambda runtime API on loopback, against moto
//! and wire-level fakes of what moto gets wrong.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::needless_pass_by_value,
    reason = "a harness that breaks is a test that fails"
)]

pub mod awsjson;
pub mod bus;
pub mod cargo_lambda;
pub mod clock;
pub mod codepipeline;
pub mod content;
pub mod ecr;
pub mod estate;
pub mod http;
pub mod ledger;
pub mod moto;
pub mod mutate;
pub mod organisation;
pub mod parsers;
pub mod queue;
pub mod runtime;
pub mod scanner;
pub mod schedules;
pub mod settle;
pub mod traffic;
pub mod world;
