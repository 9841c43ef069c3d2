//! The readers of the data directory's files by themselves, for fuzz targets.
//!
//! It is hidden and no part of the crate's promise.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::persist::{StoredCheck, StoredProxy, StoredService, StoredState};
use crate::{keyring, managed, remote_exec};

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A registered service.
    Service,
    /// A registered check.
    Check,
    /// The last report of a TTL check.
    State,
    /// What a managed proxy keeps.
    Proxy,
    /// The record of proxy processes.
    Processes,
    /// The keys of gossip.
    Keyring,
}

/// Every kind.
pub const KINDS: [Kind; 6] =
    [Kind::Service, Kind::Check, Kind::State, Kind::Proxy, Kind::Processes, Kind::Keyring];

/// Reads the content of a file and writes it again; `None` when it would be set aside.
#[must_use]
pub fn rewrite(kind: Kind, bytes: &[u8]) -> Option<Vec<u8>> {
    fn again<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Option<Vec<u8>> {
        serde_json::to_vec(&serde_json::from_slice::<T>(bytes).ok()?).ok()
    }
    match kind {
        Kind::Service => again::<StoredService>(bytes),
        Kind::Check => {
            let check: StoredCheck = serde_json::from_slice(bytes).ok()?;
            let _ = check.definition();
            serde_json::to_vec(&check).ok()
        }
        Kind::State => again::<StoredState>(bytes),
        Kind::Proxy => again::<StoredProxy>(bytes),
        Kind::Processes => managed::rewrite_processes(bytes),
        Kind::Keyring => keyring::rewrite(bytes),
    }
}

/// Reads what events that ask for an execution, and their jobs, may say.
pub fn read_remote_exec(bytes: &[u8]) {
    remote_exec::read(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYRING: &str = r#"["AAAAAAAAAAAAAAAAAAAAAA=="]"#;
    const SERVICE: &str = r#"{"Token":"t","Service":{"ID":"w","Service":"web","Tags":["a"],
        "Address":"","Meta":null,"Port":80,"EnableTagOverride":false}}"#;
    const CHECK: &str = r#"{"Check":{"Node":"n","CheckID":"c","Name":"c","Status":"critical",
        "Notes":"","Output":"","ServiceID":"","ServiceName":"","ServiceTags":null},
        "ChkType":{"CheckID":"c","HTTP":"http://127.0.0.1:1","Header":{"X":["1"]},
        "Interval":10000000000},"Token":""}"#;
    const STATE: &str = r#"{"CheckID":"c","Output":"fine","Status":"passing","Expires":12}"#;
    const PROXY: &str = r#"{"ProxyToken":"s","TargetServiceID":"web","BindPort":20000,
        "Definition":{"ExecMode":"daemon","Command":["x"],"Config":{"a":[1,null]}}}"#;
    const PROCESSES: &str = r#"{"Version":1,"Proxies":{"web-proxy":{"ProxyID":"web-proxy",
        "Pid":7,"Birth":"b/1","CommandPath":"/bin/x","CommandArgs":["a"],"CommandDir":"/",
        "CommandEnv":{"K":"V"}}}}"#;

    fn valid(kind: Kind) -> &'static str {
        match kind {
            Kind::Service => SERVICE,
            Kind::Check => CHECK,
            Kind::State => STATE,
            Kind::Proxy => PROXY,
            Kind::Processes => PROCESSES,
            Kind::Keyring => KEYRING,
        }
    }

    fn stable(kind: Kind, bytes: &[u8]) -> Result<(), TestCaseError> {
        if let Some(once) = rewrite(kind, bytes) {
            prop_assert_eq!(rewrite(kind, &once), Some(once));
        }
        Ok(())
    }

    #[test]
    fn every_kind_is_read() {
        for kind in KINDS {
            assert!(rewrite(kind, valid(kind).as_bytes()).is_some(), "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_file_or_set_aside(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for kind in KINDS {
                stable(kind, &bytes)?;
            }
        }

        #[test]
        fn a_changed_file_is_read_or_set_aside(
            kind in prop::sample::select(KINDS.to_vec()),
            at in any::<prop::sample::Index>(), with in "[ -~]|null|\\{\\}|-1|1e99|\"\"|\\[\\]",
        ) {
            let text = valid(kind);
            let at = at.index(text.len());
            stable(kind, format!("{}{with}{}", &text[..at], &text[at..]).as_bytes())?;
            stable(kind, format!("{}{with}{}", &text[..at], &text[at + 1..]).as_bytes())?;
            prop_assert_eq!(rewrite(kind, &text.as_bytes()[..at]), None);
        }

        #[test]
        fn a_replaced_value_is_read_or_set_aside(
            kind in prop::sample::select(KINDS.to_vec()),
            at in any::<prop::sample::Index>(),
            with in prop::sample::select(vec![
                "null", "{}", "[]", "-1", "1e99", "\"\"", "true", "99999999999999999999", "\"\\ud800\"",
            ]),
        ) {
            let text = valid(kind);
            let starts: Vec<_> = text.match_indices([':', '[']).map(|(at, _)| at + 1).collect();
            let start = starts[at.index(starts.len())];
            let length = text[start..].find([',', '}', ']']).unwrap();
            let changed = format!("{}{with}{}", &text[..start], &text[start + length..]);
            stable(kind, changed.as_bytes())?;
        }
    }
}
