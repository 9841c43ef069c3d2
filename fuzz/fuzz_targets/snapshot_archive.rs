//! Archives of snapshots: whole, or an error, and the same whether the state is kept or not.
#![no_main]

use lictor_server::archive;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let read = archive::read(bytes).ok().map(|(description, _)| description);
    assert_eq!(read, archive::verify(bytes).ok());
});
