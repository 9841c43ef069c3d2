//! A whole connection, with bodies of known length and in chunks: whatever a client sends, its
//! end is the connection's end, and what it is answered is HTTP.
#![no_main]

use std::cell::LazyCell;

use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: LazyCell<Runtime> = LazyCell::new(|| {
        Builder::new_current_thread().enable_all().build().expect("a runtime")
    });
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let answer = RUNTIME.with(|runtime| {
        runtime.block_on(lictor_http::fuzzing::connection(bytes)).expect("a pair of sockets")
    });
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "));
});
