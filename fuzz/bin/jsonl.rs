#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kafkatos3::targets::formats::jsonl(data));
