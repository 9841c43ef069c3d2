//! A provider's settings: read, completed, and shown without secrets.
//!
//! Names and texts are those of the API; the configuration files' names are turned into these
//! before they come here.

use lictor_pki::authority::{INTERMEDIATE_TTL, LEAF_TTL, ROOT_TTL};
use lictor_types::duration;
use lictor_types::error::EndpointError;
use serde_json::{Map, Value};

use super::BUILTIN;

/// What is shown, and understood, in the place of a key.
pub(crate) const HIDDEN: &str = "hidden";

/// Lives that leaves may have, in seconds: an hour to a year, as in later versions.
const LEAF_TTLS: std::ops::RangeInclusive<i64> = 3600..=365 * 24 * 3600;
/// Longest life of a root, in seconds: a hundred years.
const ROOT_TTL_MAX: i64 = 876_000 * 3600;
const NANOS: i64 = 1_000_000_000;

/// Settings of the built-in provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProviderSettings {
    /// PEM; empty has one made.
    pub(crate) private_key: String,
    /// PEM; empty has one made.
    pub(crate) root_cert: String,
    /// Seconds that a leaf lives.
    pub(crate) leaf_ttl: i64,
    /// Seconds that the authority of another datacenter lives.
    pub(crate) intermediate_ttl: i64,
    /// Seconds that a root lives that is made from now on.
    pub(crate) root_ttl: i64,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            private_key: String::new(),
            root_cert: String::new(),
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
            "vault" => Err(failed(vault(config))),
            other => Err(failed(format!("unknown CA provider {other:?}"))),
        }
    }

    /// Whether key and root are the provider's own to make.
    pub(crate) const fn makes_its_own(&self) -> bool {
        self.private_key.is_empty() && self.root_cert.is_empty()
    }

    /// Under which the provider's state is stored.
    pub(crate) fn state_id(&self) -> String {
        format!("{},{}", self.private_key, self.root_cert)
    }
}

fn builtin(config: &Map<String, Value>) -> Result<ProviderSettings, String> {
    let mut settings = ProviderSettings::default();
    let (mut unknown, mut problems) = (Vec::new(), Vec::new());
    for (key, value) in config {
        let place = match key.to_ascii_lowercase().as_str() {
            "privatekey" => &mut settings.private_key,
            "rootcert" => &mut settings.root_cert,
            // Roots are changed by who operates the cluster, never by themselves.
            "rotationperiod" => {
                problems.extend(length("RotationPeriod", value).err());
                continue;
            }
            "leafcertttl" => {
                match length("LeafCertTTL", value) {
                    Ok(None) => {}
                    Ok(Some(nanos)) if LEAF_TTLS.contains(&(nanos / NANOS)) => {
                        settings.leaf_ttl = nanos / NANOS;
                    }
                    Ok(Some(_)) => {
                        problems.push("'LeafCertTTL' must be between 1h and 8760h".to_owned());
                    }
                    Err(problem) => problems.push(problem),
                }
                continue;
            }
            "intermediatecertttl" => {
                match length("IntermediateCertTTL", value) {
                    Ok(None) => {}
                    Ok(Some(nanos)) => settings.intermediate_ttl = nanos / NANOS,
                    Err(problem) => problems.push(problem),
                }
                continue;
            }
            "rootcertttl" => {
                match length("RootCertTTL", value) {
                    Ok(None) => {}
                    Ok(Some(nanos)) if nanos / NANOS <= ROOT_TTL_MAX => {
                        settings.root_ttl = nanos / NANOS;
                    }
                    Ok(Some(_)) => {
                        problems.push("'RootCertTTL' must be at most 876000h".to_owned());
                    }
                    Err(problem) => problems.push(problem),
                }
                continue;
            }
            // What clusters of later versions say about their keys and their pace. It is kept, and
            // has no effect: the keys of new roots are of one kind, and signing is quick.
            "privatekeytype" | "privatekeybits" | "csrmaxpersecond" | "csrmaxconcurrent"
            | "skipvalidate" => continue,
            _ => {
                unknown.push(key.as_str());
                continue;
            }
        };
        match value {
            Value::String(text) => place.clone_from(text),
            Value::Null => {}
            _ => problems.push(format!("'{key}' expected type 'string'")),
        }
    }
    if !unknown.is_empty() {
        problems.push(format!("'' has invalid keys: {}", unknown.join(", ")));
    }
    if !problems.is_empty() {
        let list: Vec<String> = problems.iter().map(|problem| format!("* {problem}")).collect();
        let text = format!("{} error(s) decoding:\n\n{}", problems.len(), list.join("\n"));
        return Err(format!("error decoding config: {text}"));
    }
    // Whoever signs must outlive what is signed by far.
    settings.intermediate_ttl = settings.intermediate_ttl.max(3 * settings.leaf_ttl);
    let given = |name: &str| config.keys().any(|key| key.eq_ignore_ascii_case(name));
    if given("RootCertTTL") && settings.root_ttl <= settings.intermediate_ttl {
        return Err("root cert TTL must be greater than the TTL of intermediate certs".to_owned());
    }
    if settings.private_key.is_empty() && !settings.root_cert.is_empty() {
        return Err("must provide a private key when providing a root cert".to_owned());
    }
    Ok(settings)
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

/// Why a Vault provider cannot be used.
fn vault(config: &Map<String, Value>) -> String {
    let given = |name: &str| {
        config.iter().any(|(key, value)| {
            key.eq_ignore_ascii_case(name) && value.as_str().is_some_and(|text| !text.is_empty())
        })
    };
    if !given("token") {
        return "must provide a Vault token".to_owned();
    }
    "the CA provider \"vault\" is not supported by this version; use \"consul\"".to_owned()
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
    fn names_are_read_in_any_case() {
        let settings = read("consul", json!({"privatekey": "k", "RootCert": "c"})).unwrap();
        assert_eq!(settings.state_id(), "k,c");
        let nothing = json!({"PrivateKey": null, "RotationPeriod": null});
        assert_eq!(read("consul", nothing).unwrap(), ProviderSettings::default());
    }
}
