//! Commands and batches of them, as the log holds them: what is read can be written and applied.
#![no_main]

use lictor_state::Store;
use lictor_types::command::Command;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(command) = Command::decode(bytes) {
        let mut again = Vec::new();
        command.encode_into(&mut again).expect("what was read can be written");
        Command::decode(&again).expect("and read again");
        let _ = Store::new().apply_batch([command]);
    }
    if let Some(again) = lictor_raft::fuzzing::batch(bytes) {
        assert_eq!(lictor_raft::fuzzing::batch(&again), Some(again));
    }
});
