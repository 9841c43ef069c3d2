//! Settings of access control: the block `acl` of 1.4 and later, and the keys of 1.2 before it.
//!
//! Where both say something, the block counts, as in the original; `acl_datacenter` switches access
//! control on, as does `acl.enabled`.

use lictor_agent::TokenSet;
use lictor_server::{AclSettings, DefaultPolicy, DownPolicy, Primary};

use super::raw::Raw;

/// The first of these settings that says something.
fn first(raw: &Raw, keys: [&str; 2]) -> String {
    let texts = keys.into_iter().map(|key| raw.string(key));
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

/// The agent's own tokens.
pub(super) fn tokens(raw: &Raw) -> TokenSet {
    TokenSet {
        default: first(raw, ["acl.tokens.default", "acl_token"]),
        agent: first(raw, ["acl.tokens.agent", "acl_agent_token"]),
        recovery: first(raw, ["acl.tokens.agent_recovery", "acl_agent_master_token"]),
        replication: first(raw, ["acl.tokens.replication", "acl_replication_token"]),
        files: raw.string("acl.tokens.config_file_service_registration"),
        dns: raw.string("acl.tokens.dns"),
    }
}

/// Whether access control is on.
pub(super) fn enabled(raw: &Raw) -> bool {
    raw.bool("acl.enabled").unwrap_or_else(|| !raw.string("acl_datacenter").is_empty())
}

/// What the server is told.
pub(super) fn settings(raw: &Raw) -> AclSettings {
    let key_list = ["acl.enable_key_list_policy", "acl_enable_key_list_policy"];
    AclSettings {
        enabled: enabled(raw),
        default_policy: match first(raw, ["acl.default_policy", "acl_default_policy"]).as_str() {
            "deny" => DefaultPolicy::Deny,
            _ => DefaultPolicy::Allow,
        },
        down_policy: match first(raw, ["acl.down_policy", "acl_down_policy"]).as_str() {
            "allow" => DownPolicy::Allow,
            "deny" => DownPolicy::Deny,
            "async-cache" => DownPolicy::AsyncCache,
            _ => DownPolicy::ExtendCache,
        },
        key_list_policy: key_list.into_iter().find_map(|key| raw.bool(key)).unwrap_or(false),
        // Later versions do not know it any more: with their block it means nothing.
        nodes_open: raw.bool("acl.enabled").is_none()
            && raw.bool("acl_enforce_version_8") == Some(false),
        master_token: first(raw, ["acl.tokens.initial_management", "acl_master_token"]),
    }
}

/// The datacenter that rules this one, if it is another. `primary_datacenter` rules tokens and the mesh,
/// `acl_datacenter` tokens alone, as in 1.2.
pub(super) fn primary(raw: &Raw, datacenter: &str) -> Option<Primary> {
    let named = |key: &str| Some(raw.string(key).to_lowercase()).filter(|name| !name.is_empty());
    let of_all = named("primary_datacenter");
    let mesh = of_all.is_some();
    let tokens = [raw.bool("acl.enable_token_replication"), raw.bool("enable_acl_replication")];
    let tokens = tokens.into_iter().flatten().next();
    let primary = Primary {
        datacenter: of_all.or_else(|| named("acl_datacenter"))?,
        tokens: tokens.unwrap_or_else(|| !raw.string("acl_replication_token").is_empty()),
        mesh,
    };
    (primary.datacenter != datacenter).then_some(primary)
}
