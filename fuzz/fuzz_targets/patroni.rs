#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgshard::fuzzing::patroni(data));
