//! Settings of a way to log in by JWT. Names are compared without regard to case and underscores.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::LoginError;

/// Algorithms of signatures, as JWTs name them.
pub(super) const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"];

/// Keys that a method may have.
const KEYS_MOST: usize = 32;

/// What a method was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Public keys, PEM.
    pub(super) jwt_validation_pub_keys: Vec<String>,
    /// Algorithms that are accepted; empty for all.
    pub(super) jwt_supported_algs: Vec<String>,
    /// Who must have made the statement; empty for anybody with the key.
    pub(super) bound_issuer: String,
    /// Whom it may be for.
    pub(super) bound_audiences: Vec<String>,
    /// Claim to name of a value.
    pub(super) claim_mappings: BTreeMap<String, String>,
    /// Claim to name of a list.
    pub(super) list_claim_mappings: BTreeMap<String, String>,
    /// Tolerances, nanoseconds; 0 for the usual, below for none.
    pub(super) expiration_leeway: i64,
    pub(super) not_before_leeway: i64,
    pub(super) clock_skew_leeway: i64,
}

fn fault<T>(text: impl Into<String>) -> Result<T, LoginError> {
    Err(LoginError(text.into()))
}

impl Settings {
    pub(super) fn read(config: &Map<String, Value>) -> Result<Self, LoginError> {
        let mut settings = Self::default();
        for (name, value) in config.iter().filter(|(_, value)| !value.is_null()) {
            let plain = name.replace('_', "").to_lowercase();
            match plain.as_str() {
                "jwtvalidationpubkeys" => settings.jwt_validation_pub_keys = texts(name, value)?,
                "jwtsupportedalgs" => settings.jwt_supported_algs = texts(name, value)?,
                "boundissuer" => settings.bound_issuer = text(name, value)?,
                "boundaudiences" => settings.bound_audiences = texts(name, value)?,
                "claimmappings" => settings.claim_mappings = pairs(name, value)?,
                "listclaimmappings" => settings.list_claim_mappings = pairs(name, value)?,
                "expirationleeway" => settings.expiration_leeway = nanos(name, value)?,
                "notbeforeleeway" => settings.not_before_leeway = nanos(name, value)?,
                "clockskewleeway" => settings.clock_skew_leeway = nanos(name, value)?,
                "jwksurl" | "jwkscacert" | "oidcdiscoveryurl" | "oidcdiscoverycacert" => {
                    return fault(format!(
                        "{name:?} is not supported by this version, which fetches no keys: give \
                         them in 'JWTValidationPubKeys'"
                    ));
                }
                _ => return fault(format!("invalid config: {name:?} is no setting of it")),
            }
        }
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), LoginError> {
        if self.jwt_validation_pub_keys.is_empty() {
            return fault("'JWTValidationPubKeys' must be set for type \"jwt\"");
        }
        if self.jwt_validation_pub_keys.len() > KEYS_MOST {
            return fault(format!("there may be {KEYS_MOST} keys in 'JWTValidationPubKeys'"));
        }
        if let Some(other) =
            self.jwt_supported_algs.iter().find(|one| !ALGORITHMS.contains(&one.as_str()))
        {
            return fault(format!("Invalid supported algorithm: {other}"));
        }
        for (name, mappings) in [
            ("ClaimMappings", &self.claim_mappings),
            ("ListClaimMappings", &self.list_claim_mappings),
        ] {
            let mut seen = BTreeSet::new();
            if let Some(twice) = mappings.values().find(|target| !seen.insert(*target)) {
                return fault(format!("{name} contains multiple mappings for key {twice:?}"));
            }
        }
        Ok(())
    }
}

fn text(name: &str, value: &Value) -> Result<String, LoginError> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => fault(format!("{name} must be a text")),
    }
}

fn texts(name: &str, value: &Value) -> Result<Vec<String>, LoginError> {
    match value {
        Value::String(one) => Ok(vec![one.clone()]),
        Value::Array(all) => all.iter().map(|one| text(name, one)).collect(),
        _ => fault(format!("{name} must be a list of texts")),
    }
}

fn pairs(name: &str, value: &Value) -> Result<BTreeMap<String, String>, LoginError> {
    match value {
        Value::Object(pairs) => {
            pairs.iter().map(|(key, value)| Ok((key.clone(), text(name, value)?))).collect()
        }
        _ => fault(format!("{name} must be an object with texts")),
    }
}

fn nanos(name: &str, value: &Value) -> Result<i64, LoginError> {
    let parsed = match value {
        Value::String(text) => lictor_types::duration::parse(text).ok(),
        other => other.as_i64(),
    };
    parsed.map_or_else(|| fault(format!("{name} must be a duration such as \"30s\"")), Ok)
}
