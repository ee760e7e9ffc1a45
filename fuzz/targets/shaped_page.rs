//! Runs `suppressd_fuzz::shaped_page` with what libFuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| suppressd_fuzz::shaped_page(bytes));
