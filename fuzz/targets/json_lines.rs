//! Runs `suppressd_fuzz::json_lines` with what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| suppressd_fuzz::json_lines(bytes));
