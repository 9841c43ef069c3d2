//! `version`: what this program is, and what it is compatible with.

use super::{Call, Command, Exit, out};

/// The version of the original whose behaviour is followed; some clients parse it.
pub(crate) const COMPATIBLE_VERSION: &str = "1.2.0";

/// `lictor version`.
pub(super) const COMMAND: Command = Command {
    path: "version",
    synopsis: "Prints the version",
    operands: "",
    about: "Prints the version of this program and the protocol that it speaks.",
    flags: &[],
    client: false,
    server: false,
    run: |call| Box::pin(run(call)),
};

async fn run(_: Call) -> Exit {
    out(text().trim_end());
    0
}

/// The text of `version`. Tools look for `Consul v1.2.0`-like words, so both names are given.
pub(crate) fn text() -> String {
    format!(
        "Lictor v{}\nCompatible with Consul v{COMPATIBLE_VERSION}\n\
         Protocol 2 spoken by default, understands 2 to 3 (agent will automatically use \
         protocol >2 when speaking to compatible agents)\n",
        env!("CARGO_PKG_VERSION")
    )
}
