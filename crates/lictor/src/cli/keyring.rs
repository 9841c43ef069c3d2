//! `keyring`: shows and changes the keys of gossip.

use lictor_api::client::Method;

use super::flags::{Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, out, usage};

/// `lictor keyring`.
pub(super) const COMMAND: Command = Command {
    path: "keyring",
    synopsis: "Shows and changes the keys of gossip",
    operands: "[options]",
    about: "Shows and changes the keys that encrypt gossip. A key is exchanged by installing the \
        new one, using it, and removing the old one.",
    flags: &[
        flag("install", Kind::Text, "Install a key, base64 of 16, 24 or 32 bytes."),
        flag("use", Kind::Text, "Encrypt with this key, which must be installed."),
        flag("remove", Kind::Text, "Remove this key, which must not be in use."),
        flag("list", Kind::Bool, "List the keys."),
        flag("list-primary", Kind::Bool, "List the keys that are encrypted with."),
        flag("local-only", Kind::Bool, "List those of this datacenter alone."),
        flag("relay-factor", Kind::Text, "Members that answers take a detour over: 0 to 5."),
    ],
    client: true,
    server: false,
    run: |call| Box::pin(run(call)),
};

const RELAYS_MAX: u64 = 5;

async fn run(call: Call) -> Exit {
    let key = |name: &str| call.parsed.text(name).filter(|key| !key.is_empty());
    let changes = [
        ("install", Method::POST, "==> Installing new gossip encryption key..."),
        ("use", Method::PUT, "==> Changing primary gossip encryption key..."),
        ("remove", Method::DELETE, "==> Removing gossip encryption key..."),
    ];
    let wanted: Vec<_> = changes
        .into_iter()
        .filter_map(|(name, method, says)| key(name).map(|key| (key, method, says)))
        .collect();
    let (list, primary) = (call.parsed.is_set("list"), call.parsed.is_set("list-primary"));
    match wanted.len() + usize::from(list) + usize::from(primary) {
        0 => return fail(usage(call.command).trim_end()),
        1 => {}
        _ => return fail("Only a single action is allowed"),
    }
    let relays = match call.parsed.number("relay-factor") {
        Ok(given) => match u8::try_from(given.unwrap_or(0).min(RELAYS_MAX + 1)) {
            Ok(relays) if u64::from(relays) <= RELAYS_MAX => relays,
            _ => {
                return fail("Error parsing relay factor: Relay factor must be in range: [0, 5]");
            }
        },
        Err(error) => return super::misused(call.command, error),
    };
    let local = call.parsed.is_set("local-only");
    if local && !(list || primary) {
        return fail("Error validating local-only: local-only can only be set for list requests");
    }
    let client = client_or_fail!(call);
    if let Some((key, method, says)) = wanted.into_iter().next() {
        out(says);
        return match client.keyring_change(method, key, relays).await {
            Ok(()) => 0,
            Err(error) => fail(format!("error: {error}")),
        };
    }
    let which = if primary { "installed primary" } else { "installed" };
    out(&format!("==> Gathering {which} encryption keys..."));
    let pools = match client.keyring_list(relays, local).await {
        Ok(pools) => pools,
        Err(error) => return fail(format!("error: {error}")),
    };
    for pool in pools {
        let name = match (pool.wan, pool.segment.as_str()) {
            (true, _) => "WAN".to_owned(),
            (false, "") => format!("{} (LAN)", pool.datacenter),
            (false, segment) => format!("{} (LAN) [{segment}]", pool.datacenter),
        };
        out(&format!("\n{name}:"));
        for (node, message) in &pool.messages {
            out(&format!("  ===> {node}: {message}"));
        }
        for (key, count) in if primary { &pool.primary_keys } else { &pool.keys } {
            out(&format!("  {key} [{count}/{}]", pool.num_nodes));
        }
    }
    0
}
