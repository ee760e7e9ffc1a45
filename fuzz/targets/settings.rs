//! Runs `suppressd_fuzz::settings` with what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| suppressd_fuzz::settings(bytes));
