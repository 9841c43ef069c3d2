//! Snapshots of the store: taken whole or not at all, and written the same again.
#![no_main]

use lictor_state::Store;

fn written(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot().write(&mut bytes).expect("memory");
    bytes
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let store = Store::new();
    if store.restore(&mut &*bytes).is_ok() {
        let once = written(&store);
        let again = Store::new();
        again.restore(&mut once.as_slice()).expect("what was written is read");
        assert_eq!(written(&again), once);
    } else {
        assert_eq!(written(&store), written(&Store::new()));
    }
});
