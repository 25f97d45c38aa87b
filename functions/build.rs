//! Leaves the tables for unwinding out of the released binaries, a twelfth of their packages: there a panic ends the process.

#![expect(clippy::disallowed_methods, reason = "this is how Cargo and a build script talk")]

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=../no-unwinding.ld");
    let is = |name, value: &str| var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        let here = var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{here}/../no-unwinding.ld");
    }
}
