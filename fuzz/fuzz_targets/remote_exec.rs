//! What others ask an agent to run: the event, and the job that it names.
#![no_main]

use lictor_agent::fuzzing::read_remote_exec;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| read_remote_exec(bytes));
