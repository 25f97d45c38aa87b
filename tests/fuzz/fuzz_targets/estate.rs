#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The names in it are parsed, and everything else is free: there is a draft of every estate.
    let Ok(estate) = serde_json::from_slice::<patchwave::discover::Estate>(bytes) else { return };
    let drafted = patchwave::discover::discover(&estate);
    assert_eq!(drafted.text(), patchwave::discover::discover(&estate).text());
});
