//! Which containers run which versions, and with which findings.

mod answers;
mod deployed;
mod exposure;
mod fixture;
mod laws;
mod reports;
mod resolution;
