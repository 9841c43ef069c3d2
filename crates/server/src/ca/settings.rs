//! A provider's settings: read, completed, and shown without secrets.
//!
//! Names and texts are those of the API; the configuration files' names are turned into these
//! before they come here.

mod vault;

use lictor_pki::authority::{INTERMEDIATE_TTL, LEAF_TTL, ROOT_TTL};
use lictor_types::duration;
use lictor_types::error::EndpointError;
use serde_json::{Map, Value};

pub(crate) use self::vault::VaultSettings;
use super::{BUILTIN, VAULT};

/// What is shown, and understood, in the place of a secret.
pub(crate) const HIDDEN: &str = "hidden";
/// Settings that are secrets, in lower case.
const SECRETS: [&str; 2] = ["privatekey", "token"];

/// Lives that leaves may have, in seconds: an hour to a year, as in later versions.
const LEAF_TTLS: std::ops::RangeInclusive<i64> = 3600..=365 * 24 * 3600;
/// Longest life of a root, in seconds: a hundred years.
const ROOT_TTL_MAX: i64 = 876_000 * 3600;
const NANOS: i64 = 1_000_000_000;

/// Settings of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProviderSettings {
    /// What only one kind of provider has.
    pub(crate) kind: Kind,
    /// Seconds that a leaf lives.
    pub(crate) leaf_ttl: i64,
    /// Seconds that an authority lives that is not a root.
    pub(crate) intermediate_ttl: i64,
    /// Seconds that a root lives that is made from now on.
    pub(crate) root_ttl: i64,
}

/// Which provider, and what only it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one that is built in.
    Builtin(Given),
    /// An authority in Vault.
    Vault(Box<VaultSettings>),
}

/// Key and certificate of the built-in provider's root.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// PEM; empty has one made.
    pub(crate) private_key: String,
    /// PEM; empty has one made.
    pub(crate) root_cert: String,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("root_cert", &self.root_cert).finish_non_exhaustive()
    }
}

impl Given {
    /// Under which key and certificate are stored.
    pub(crate) fn state_id(&self) -> String {
        format!("{},{}", self.private_key, self.root_cert)
    }

    /// Whether key and root are the provider's own to make.
    pub(crate) const fn is_empty(&self) -> bool {
        self.private_key.is_empty() && self.root_cert.is_empty()
    }
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            kind: Kind::Builtin(Given::default()),
            leaf_ttl: LEAF_TTL,
            intermediate_ttl: INTERMEDIATE_TTL,
            root_ttl: ROOT_TTL,
        }
    }
}

impl ProviderSettings {
    /// Reads the settings of a provider by its name.
    pub(crate) fn read(provider: &str, config: &Map<String, Value>) -> Result<Self, EndpointError> {
        let failed =
            |text: String| EndpointError::refused(format!("could not initialize provider: {text}"));
        match provider {
            BUILTIN => builtin(config).map_err(failed),
            VAULT => vault::read(config).map_err(failed),
            other => Err(failed(format!("unknown CA provider {other:?}"))),
        }
    }

    /// Whether the root is not for this provider to make: the settings bring one.
    pub(crate) const fn bring_a_root(&self) -> bool {
        matches!(&self.kind, Kind::Builtin(given) if !given.is_empty())
    }
}

/// What went wrong in reading, and what every provider has.
#[derive(Debug, Default)]
struct Reading {
    settings: ProviderSettings,
    unknown: Vec<String>,
    problems: Vec<String>,
}

impl Reading {
    /// Reads a setting that every provider has; `false` for another.
    fn reads(&mut self, name: &str, value: &Value) -> bool {
        let place = match name {
            "leafcertttl" => {
                let place = &mut self.settings.leaf_ttl;
                let bounds = (*LEAF_TTLS.start(), *LEAF_TTLS.end());
                let range = Some((bounds, "must be between 1h and 8760h"));
                ("LeafCertTTL", place, range)
            }
            "intermediatecertttl" => {
                ("IntermediateCertTTL", &mut self.settings.intermediate_ttl, None)
            }
            "rootcertttl" => {
                let range = Some(((i64::MIN, ROOT_TTL_MAX), "must be at most 876000h"));
                ("RootCertTTL", &mut self.settings.root_ttl, range)
            }
            // What clusters of later versions say about their pace. It is kept, and has no effect.
            "csrmaxpersecond" | "csrmaxconcurrent" | "skipvalidate" => return true,
            _ => return false,
        };
        let (name, place, range) = place;
        match length(name, value) {
            Ok(None) => {}
            Ok(Some(nanos)) => {
                let seconds = nanos / NANOS;
                match range {
                    Some(((least, most), text)) if seconds < least || seconds > most => {
                        self.problems.push(format!("'{name}' {text}"));
                    }
                    _ => *place = seconds,
                }
            }
            Err(problem) => self.problems.push(problem),
        }
        true
    }

    /// Takes a text; `null` is none.
    fn text(&mut self, name: &str, value: &Value, place: impl FnOnce(String)) {
        match value {
            Value::String(text) => place(text.clone()),
            Value::Null => {}
            _ => self.problems.push(format!("'{name}' expected type 'string'")),
        }
    }

    /// The settings, if nothing was wrong with one alone or with all together.
    fn finish(mut self, config: &Map<String, Value>) -> Result<ProviderSettings, String> {
        if !self.unknown.is_empty() {
            let text = format!("'' has invalid keys: {}", self.unknown.join(", "));
            self.problems.push(text);
        }
        if !self.problems.is_empty() {
            let list: Vec<String> =
                self.problems.iter().map(|problem| format!("* {problem}")).collect();
            let text = format!("{} error(s) decoding:\n\n{}", list.len(), list.join("\n"));
            return Err(format!("error decoding config: {text}"));
        }
        let mut settings = self.settings;
        // Whoever signs must outlive what is signed by far.
        settings.intermediate_ttl = settings.intermediate_ttl.max(3 * settings.leaf_ttl);
        let given = |name: &str| config.keys().any(|key| key.eq_ignore_ascii_case(name));
        if given("RootCertTTL") && settings.root_ttl <= settings.intermediate_ttl {
            let text = "root cert TTL must be greater than the TTL of intermediate certs";
            return Err(text.to_owned());
        }
        Ok(settings)
    }
}

fn builtin(config: &Map<String, Value>) -> Result<ProviderSettings, String> {
    let mut reading = Reading::default();
    let mut given = Given::default();
    for (key, value) in config {
        let name = key.to_ascii_lowercase();
        match name.as_str() {
            "privatekey" => reading.text(key, value, |text| given.private_key = text),
            "rootcert" => reading.text(key, value, |text| given.root_cert = text),
            // Roots are changed by who operates the cluster, never by themselves.
            "rotationperiod" => {
                reading.problems.extend(length("RotationPeriod", value).err());
            }
            // Kept, without effect: the keys of new roots are of one kind.
            "privatekeytype" | "privatekeybits" => {}
            name if reading.reads(name, value) => {}
            _ => reading.unknown.push(key.clone()),
        }
    }
    let settings = reading.finish(config)?;
    if given.private_key.is_empty() && !given.root_cert.is_empty() {
        return Err("must provide a private key when providing a root cert".to_owned());
    }
    Ok(ProviderSettings { kind: Kind::Builtin(given), ..settings })
}

/// Whether a setting of this name is not shown.
pub(crate) fn is_secret(name: &str) -> bool {
    SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

/// A secret that comes back as it was shown is the one that is stored.
pub(super) fn keep_hidden(new: &mut Map<String, Value>, old: &Map<String, Value>) {
    for (key, value) in new {
        if is_secret(key)
            && value == HIDDEN
            && let Some((_, stored)) = old.iter().find(|(k, _)| k.eq_ignore_ascii_case(key))
        {
            value.clone_from(stored);
        }
    }
}

/// Nanoseconds of a duration, which is a text or a number of them; `None` for `null`.
fn length(name: &str, value: &Value) -> Result<Option<i64>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => duration::parse(text)
            .map(Some)
            .map_err(|_| format!("error decoding '{name}': time: invalid duration {text:?}")),
        Value::Number(nanos) if nanos.is_i64() => Ok(nanos.as_i64()),
        _ => Err(format!("'{name}' is not a duration")),
    }
}

/// Adds what the first configuration of a cluster says even when its files do not. Later ones
/// are kept as they were sent.
pub(crate) fn with_defaults(mut config: Map<String, Value>) -> Map<String, Value> {
    let lives =
        [("LeafCertTTL", "72h"), ("IntermediateCertTTL", "8760h"), ("RootCertTTL", "87600h")];
    for (name, life) in lives {
        if !config.keys().any(|key| key.eq_ignore_ascii_case(name)) {
            config.insert(name.to_owned(), Value::from(life));
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(provider: &str, config: Value) -> Result<ProviderSettings, String> {
        let Value::Object(config) = config else { panic!("not an object") };
        ProviderSettings::read(provider, &config).map_err(|e| e.text)
    }

    #[test]
    fn problems_have_the_known_texts() {
        let error = |provider, config| read(provider, config).unwrap_err();
        assert_eq!(
            error("nosuch", json!({})),
            "could not initialize provider: unknown CA provider \"nosuch\""
        );
        assert_eq!(
            error("consul", json!({"Bad": 1})),
            "could not initialize provider: error decoding config: 1 error(s) decoding:\n\n\
             * '' has invalid keys: Bad"
        );
        assert!(error("vault", json!({})).ends_with("must provide a Vault token"));
        assert!(
            error("consul", json!({"RootCert": "x"}))
                .ends_with("must provide a private key when providing a root cert")
        );
        assert!(
            error("consul", json!({"RotationPeriod": "soon"}))
                .ends_with("* error decoding 'RotationPeriod': time: invalid duration \"soon\"")
        );
    }

    #[test]
    fn leaves_live_as_long_as_is_said_within_bounds() {
        let ttl = |value| read("consul", json!({"LeafCertTTL": value})).map(|s| s.leaf_ttl);
        assert_eq!(read("consul", json!({})).unwrap().leaf_ttl, 72 * 3600);
        assert_eq!(ttl(json!("1h")), Ok(3600));
        assert_eq!(ttl(json!(7_200_000_000_000_i64)), Ok(7200));
        assert_eq!(ttl(json!(null)), Ok(72 * 3600));
        for bad in [json!("59m"), json!("8761h"), json!("soon"), json!([]), json!(1.5)] {
            assert!(ttl(bad.clone()).unwrap_err().contains("'LeafCertTTL'"), "{bad}");
        }
    }

    #[test]
    fn settings_of_later_versions_are_no_reason_to_stop() {
        let config = json!({
            "CSRMaxConcurrent": 0, "CSRMaxPerSecond": 50, "IntermediateCertTTL": "8760h",
            "LeafCertTTL": "72h", "PrivateKeyBits": 256, "PrivateKeyType": "ec",
            "RootCertTTL": "87600h", "RotationPeriod": "2160h", "SkipValidate": false,
        });
        assert_eq!(read("consul", config).unwrap(), ProviderSettings::default());
        let error = read("consul", json!({"IntermediateCertTTL": "soon"})).unwrap_err();
        assert!(error.contains("'IntermediateCertTTL'"), "{error}");
        let short = read("consul", json!({"IntermediateCertTTL": "1h", "LeafCertTTL": "2h"}));
        assert_eq!(short.unwrap().intermediate_ttl, 6 * 3600);
    }

    #[test]
    fn a_root_outlives_what_it_signs() {
        let read = |config| read("consul", config);
        assert_eq!(read(json!({})).unwrap().root_ttl, 87_600 * 3600);
        assert_eq!(read(json!({"RootCertTTL": "96360h"})).unwrap().root_ttl, 96_360 * 3600);
        let short =
            json!({"RootCertTTL": "48h", "IntermediateCertTTL": "12h", "LeafCertTTL": "2h"});
        assert_eq!(read(short).unwrap().root_ttl, 48 * 3600);
        for bad in ["8760h", "1h", "-1h", "876001h", "soon"] {
            let error = read(json!({ "RootCertTTL": bad })).unwrap_err();
            assert!(error.contains("'RootCertTTL'") || error.contains("root cert TTL"), "{error}");
        }
    }

    #[test]
    fn secrets_come_back_as_they_were_shown() {
        let object = |value| {
            let Value::Object(map) = value else { panic!("not an object") };
            map
        };
        let old = object(json!({"Token": "s.1", "PrivateKey": "k", "Address": "a"}));
        let mut new =
            object(json!({"token": "hidden", "PrivateKey": "hidden", "Address": "hidden"}));
        keep_hidden(&mut new, &old);
        let kept = json!({"token": "s.1", "PrivateKey": "k", "Address": "hidden"});
        assert_eq!(Value::Object(new), kept);
        assert!(is_secret("TOKEN") && is_secret("PrivateKey") && !is_secret("Address"));
    }

    #[test]
    fn names_are_read_in_any_case() {
        let settings = read("consul", json!({"privatekey": "k", "RootCert": "c"})).unwrap();
        let Kind::Builtin(given) = &settings.kind else { panic!() };
        assert!(settings.bring_a_root() && !format!("{settings:?}").contains("\"k\""));
        assert_eq!(given.state_id(), "k,c");
        let nothing = json!({"PrivateKey": null, "RotationPeriod": null});
        assert_eq!(read("consul", nothing).unwrap(), ProviderSettings::default());
    }
}
