//! `info`: the agent's counters and facts, section by section.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, out};

/// `lictor info`.
pub(super) const COMMAND: Command = Command {
    path: "info",
    synopsis: "Shows facts about the agent, for debugging",
    operands: "[options]",
    about: "Shows facts and counters of the agent, for debugging.",
    flags: &[],
    client: true,
    server: false,
    run: |call| Box::pin(run(call)),
};

#[derive(Deserialize)]
struct SelfBody {
    #[serde(rename = "Stats")]
    stats: BTreeMap<String, BTreeMap<String, String>>,
}

async fn run(call: Call) -> Exit {
    let client = client_or_fail!(call);
    match client.call_json::<SelfBody>(client.get("/v1/agent/self")).await {
        Ok(body) => {
            for (section, facts) in body.stats {
                out(&format!("{section}:"));
                for (key, value) in facts {
                    out(&format!("\t{key} = {value}"));
                }
            }
            0
        }
        Err(error) => fail(format!("Error querying agent: {error}")),
    }
}
