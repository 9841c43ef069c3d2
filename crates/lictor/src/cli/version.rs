//! `version`: what this program is, and what it is compatible with.

use serde_json::json;

use super::{Call, Command, Exit, Flag, Kind, fail, flag, out};

/// The version of the original whose behaviour is followed; some clients parse it.
pub(crate) const COMPATIBLE_VERSION: &str = "1.2.0";

const FLAGS: &[Flag] = &[flag(
    "format",
    Kind::Text,
    "Output format: pretty (the default) or json, as later versions.",
)];

/// `lictor version`.
pub(super) const COMMAND: Command = Command {
    path: "version",
    synopsis: "Prints the version",
    operands: "[options]",
    about: "Prints the version of this program and the protocol that it speaks.",
    flags: FLAGS,
    client: false,
    server: false,
    run: |call| Box::pin(run(call)),
};

async fn run(call: Call) -> Exit {
    match call.parsed.text("format") {
        None | Some("pretty") => out(text().trim_end()),
        Some("json") => out(&json_text()),
        Some(other) => return fail(format!("Unknown format: {other} (pretty and json are known)")),
    }
    0
}

/// Programs that start an agent for their tests read this, so it names the compatible version.
fn json_text() -> String {
    let own = json!({
        "Version": COMPATIBLE_VERSION, "Revision": "", "Prerelease": "",
        "RPC": {"Default": 2, "Min": 2, "Max": 3}, "LictorVersion": env!("CARGO_PKG_VERSION"),
    });
    format!("{own:#}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compatible_version_can_be_read_as_json() {
        let read: serde_json::Value = serde_json::from_str(&json_text()).expect("JSON");
        assert_eq!(read["Version"], COMPATIBLE_VERSION);
        assert_eq!(read["RPC"]["Max"], 3);
    }
}
