//! The harness of the end-to-end tests. The compiled functions run under a Lambda runtime API on
//! loopback, against moto and against fakes of the services that moto does not play well enough.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::needless_pass_by_value,
    reason = "a harness that breaks is a test that fails"
)]

pub mod accounts;
pub mod awsjson;
pub mod buildah;
pub mod bus;
pub mod cargo_lambda;
pub mod clock;
pub mod codepipeline;
pub mod content;
pub mod contract;
pub mod ecr;
pub mod harness;
pub mod hierarchy;
pub mod hostile;
pub mod http;
pub mod ledger;
pub mod moto;
pub mod mutate;
pub mod parsers;
pub mod proxy;
pub mod queue;
pub mod random;
pub mod run_until_idle;
pub mod runtime;
pub mod scanner;
pub mod schedules;
mod tls;
pub mod traffic;
pub mod upstream;
