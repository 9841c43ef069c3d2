//! The digest by which a proxy tells whether its configuration is another one.
//!
//! The digest of a definition is the original's: some users keep it between runs. It does not
//! cover what the agent adds, so changes of that are mixed in.

use serde_json::{Map, Value};

use crate::structure_hash::{list, number, object, ordered, structure, text, value};

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
    let fields = [
        ("ExecMode", number(mode.to_le_bytes())),
        ("Command", list(command.iter().map(|word| text(word)))),
        ("Config", object(config)),
        ("TargetServiceID", text(target_id)),
    ];
    structure("ConnectManagedProxy", fields)
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
