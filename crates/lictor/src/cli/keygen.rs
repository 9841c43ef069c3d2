//! `keygen`: a new key for gossip encryption.

use base64::Engine as _;

use super::{Call, Command, Exit, out};

/// `lictor keygen`.
pub(super) const COMMAND: Command = Command {
    path: "keygen",
    synopsis: "Makes a new encryption key",
    operands: "[options]",
    about: "Makes a new key that encrypts the gossip between agents.",
    flags: &[],
    client: false,
    server: false,
    run: |call| Box::pin(run(call)),
};

async fn run(_: Call) -> Exit {
    let mut key = [0_u8; 32];
    if let Err(error) = rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty()) {
        return super::fail(format!("Error reading random data: {error}"));
    }
    out(&base64::engine::general_purpose::STANDARD.encode(key));
    0
}
