//! The coverage-guided engine, libFuzzer, around the target that `URD_FUZZ_TARGET` names. Started
//! by `cargo xtask fuzz`, which gives it a corpus, a time, and a bound on memory.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fn target() -> fn(&[u8]) {
    let name = std::env::vars_os().find(|(key, _)| key == "URD_FUZZ_TARGET");
    let name = name.map(|(_, value)| value.to_string_lossy().into_owned()).unwrap_or_default();
    fuzz::find(&name).map(|target| target.run).expect("URD_FUZZ_TARGET names a target")
}

fuzz_target!(|data: &[u8]| TARGET.get_or_init(target)(data));
