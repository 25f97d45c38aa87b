#![no_main]

#[path = "../../../shared/aws/src/manifest.rs"]
#[allow(dead_code)]
mod manifest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert!(manifest::diff_ids(bytes).len() <= 1_000);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(invalid) = manifest::parse(text) {
        assert!(invalid.to_string().len() < 1024 * 1024);
    }
});
