#![no_main]

#[path = "../../../shared/aws/src/upstream/challenge.rs"]
#[allow(dead_code)]
mod challenge;
#[path = "../../../shared/aws/src/upstream/described.rs"]
mod described;
#[path = "../../../shared/aws/src/manifest.rs"]
#[allow(dead_code)]
mod manifest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = challenge::Challenge::read(std::iter::once(text));
    let digest = format!("sha256:{}", "ab".repeat(32)).parse().expect("a digest");
    match described::read(text, &digest) {
        Ok(described) => assert!(described.platforms.keys().all(|platform| !platform.is_marked_as_attestation())),
        Err(problem) => assert!(problem.len() < 1024 * 1024),
    }
});
