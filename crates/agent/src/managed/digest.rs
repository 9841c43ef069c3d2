//! The digest by which a proxy tells whether its configuration is another one.
//!
//! The digest of a definition is the original's: some users keep it between runs. It does not
//! cover what the agent adds, so changes of that are mixed in. Follows the structure hash of
//! `hashstructure` version 1 over FNV-1 with 64 bits.

use serde_json::{Map, Value};

/// Digest of what was defined.
pub(super) fn definition(
    exec_mode: &str,
    command: &[String],
    config: &Map<String, Value>,
    target_id: &str,
) -> u64 {
    let mode: i64 = match exec_mode {
        "daemon" => 1,
        "script" => 2,
        _ => 0,
    };
    let command = command.iter().fold(0, |digest, word| ordered(digest, text(word)));
    let fields = [
        ("ExecMode", number(mode.to_le_bytes())),
        ("Command", command),
        ("Config", object(config)),
        ("TargetServiceID", text(target_id)),
    ];
    let fields = fields.into_iter().map(|(name, digest)| ordered(text(name), digest));
    fields.fold(text("ConnectManagedProxy"), |all, field| all ^ field)
}

/// Digest of what the agent added to a definition's own configuration.
pub(super) fn additions(
    target_name: &str,
    own: &Map<String, Value>,
    effective: &Map<String, Value>,
) -> u64 {
    let added = effective.iter().filter(|(name, _)| !own.contains_key(*name));
    added.fold(text(target_name), |all, (name, member)| all ^ ordered(text(name), value(member)))
}

fn value(given: &Value) -> u64 {
    match given {
        Value::Null => number(0_i64.to_le_bytes()),
        Value::Bool(yes) => number([u8::from(*yes)]),
        // The original's decoder makes every number of JSON a float.
        Value::Number(given) => number(given.as_f64().unwrap_or_default().to_le_bytes()),
        Value::String(given) => text(given),
        Value::Array(items) => items.iter().fold(0, |all, item| ordered(all, value(item))),
        Value::Object(members) => object(members),
    }
}

/// The order of members does not matter.
fn object(members: &Map<String, Value>) -> u64 {
    members.iter().fold(0, |all, (name, member)| all ^ ordered(text(name), value(member)))
}

fn ordered(a: u64, b: u64) -> u64 {
    fnv([a.to_le_bytes(), b.to_le_bytes()].concat())
}

fn number<const N: usize>(bytes: [u8; N]) -> u64 {
    fnv(bytes)
}

fn text(text: &str) -> u64 {
    fnv(text.bytes())
}

fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_that_users_know() {
        let config = serde_json::json!({
            "bind_port": 23456, "foo": "bar",
            "upstreams": [{"destination_name": "web", "local_bind_port": 9191}],
        });
        let config = config.as_object().unwrap();
        let digest = definition("script", &["true".to_owned()], config, "db-1");
        assert_eq!(format!("{digest:x}"), "897a8e48ab8f246b");
        let other = definition("script", &["false".to_owned()], config, "db-1");
        assert_ne!(digest, other);
    }
}
