//! Which containers run which versions, and with which findings.

mod answers;
mod deployed;
mod exposure;
mod fixture;
mod laws;
mod ran;
mod reports;
mod resolution;
mod undeployed;
