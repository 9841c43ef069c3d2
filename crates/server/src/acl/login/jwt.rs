//! JSON Web Tokens (RFC 7519) in the compact form of a signature (RFC 7515).
//!
//! Only signatures by public keys that are known beforehand: whoever makes a statement cannot say
//! which key it is to be checked with. A key of one kind is never used with an algorithm of another.

use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lictor_pki::Certificate;
use lictor_types::timestamp::Timestamp;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde_json::{Map, Value};

use super::LoginError;
use super::settings::{ALGORITHMS, Settings};

/// Longest statement, in bytes.
const LENGTH_MOST: usize = 64 * 1024;
/// Tolerances in seconds where nothing else was said.
const SKEW: i64 = 60;
const OPEN_END: i64 = 150;

type Claims = Map<String, Value>;

fn fault<T>(text: impl Into<String>) -> Result<T, LoginError> {
    Err(LoginError(text.into()))
}

/// The algorithm of a name, in the order of [`ALGORITHMS`].
fn algorithm(name: &str) -> Option<&'static dyn VerificationAlgorithm> {
    let all: [&'static dyn VerificationAlgorithm; 9] = [
        &RSA_PKCS1_2048_8192_SHA256,
        &RSA_PKCS1_2048_8192_SHA384,
        &RSA_PKCS1_2048_8192_SHA512,
        &ECDSA_P256_SHA256_FIXED,
        &ECDSA_P384_SHA384_FIXED,
        &ECDSA_P521_SHA512_FIXED,
        &RSA_PSS_2048_8192_SHA256,
        &RSA_PSS_2048_8192_SHA384,
        &RSA_PSS_2048_8192_SHA512,
    ];
    ALGORITHMS.iter().position(|one| *one == name).and_then(|at| all.get(at).copied())
}

/// Public keys of those who may make statements.
#[derive(Debug)]
pub(super) struct Keys(Vec<Vec<u8>>);

impl Keys {
    /// Reads keys, each a PEM text with a public key or a certificate.
    pub(super) fn read(texts: &[String]) -> Result<Self, LoginError> {
        let mut keys = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            let Some(key) = public_key(text) else {
                return fault(format!(
                    "error parsing public key JWTValidationPubKeys[{at}]: data does not contain \
                     any valid RSA or ECDSA public keys"
                ));
            };
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// The claims of a statement that one of the keys signed.
    pub(super) fn verified(&self, jwt: &str, accepted: &[String]) -> Result<Claims, LoginError> {
        if jwt.is_empty() {
            return fault("missing jwt");
        }
        if jwt.len() > LENGTH_MOST {
            return fault(format!("error parsing token: it is longer than {LENGTH_MOST} bytes"));
        }
        let jwt = jwt.trim();
        let malformed = || LoginError("error parsing token: it is no signed JWT".to_owned());
        let (signed, mark) = jwt.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed());
        let object =
            |part: &str| serde_json::from_slice::<Claims>(&decoded(part)?).map_err(|_| malformed());
        let header = object(header)?;
        if header.contains_key("crit") {
            return fault("error parsing token: it demands extensions that are not known");
        }
        let name = header.get("alg").and_then(Value::as_str).unwrap_or_default();
        let known = algorithm(name)
            .filter(|_| accepted.is_empty() || accepted.iter().any(|one| one == name));
        let Some(algorithm) = known else {
            return fault(format!("error parsing token: algorithm {name:?} is not accepted"));
        };
        let mark = decoded(mark)?;
        let genuine = self.0.iter().any(|key| {
            signature::UnparsedPublicKey::new(algorithm, key)
                .verify(signed.as_bytes(), &mark)
                .is_ok()
        });
        if !genuine {
            return fault("no known key successfully validated the token signature");
        }
        object(claims)
    }
}

/// The key of a PEM text, if it is of a kind that is known.
fn public_key(text: &str) -> Option<Vec<u8>> {
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes());
    let key = sections.flatten().find_map(|(kind, der)| match kind {
        SectionKind::PublicKey => Some(der),
        SectionKind::Certificate => {
            Certificate::from_der(&der).ok().map(|certificate| certificate.spki_der().to_vec())
        }
        _ => None,
    })?;
    let usable = ALGORITHMS
        .iter()
        .filter_map(|name| algorithm(name))
        .any(|algorithm| ParsedPublicKey::new(algorithm, &key).is_ok());
    usable.then_some(key)
}

/// A number of seconds since 1970, 0 when there is none.
fn seconds(claims: &Claims, name: &str) -> Result<i64, LoginError> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => {
            #[allow(clippy::cast_possible_truncation)]
            let whole = value.as_i64().or_else(|| value.as_f64().map(|number| number as i64));
            whole
                .map_or_else(|| fault(format!("failed to unmarshal claims: {name} is no time")), Ok)
        }
    }
}

fn tolerance(nanos: i64, usual: i64) -> i64 {
    match nanos {
        0 => usual,
        nanos => nanos.max(0) / 1_000_000_000,
    }
}

/// Whether a statement is by the right one, for us, and for now.
pub(super) fn check_claims(
    claims: &Claims,
    settings: &Settings,
    now: Timestamp,
) -> Result<(), LoginError> {
    let issued = seconds(claims, "iat")?;
    let (mut end, mut start) = (seconds(claims, "exp")?, seconds(claims, "nbf")?);
    if (issued, end, start) == (0, 0, 0) {
        return fault("no issue time, notbefore, or expiration time encoded in token");
    }
    if end == 0 {
        end = issued.max(start).saturating_add(tolerance(settings.expiration_leeway, OPEN_END));
    }
    if start == 0 {
        start = if issued == 0 {
            end.saturating_sub(tolerance(settings.not_before_leeway, OPEN_END))
        } else {
            issued
        };
    }
    let invalid = |why: &str| fault(format!("error validating claims: validation failed, {why}"));
    let skew = tolerance(settings.clock_skew_leeway, SKEW);
    let now = now.0.div_euclid(1_000_000_000);
    let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    if !settings.bound_issuer.is_empty() && settings.bound_issuer != issuer {
        return invalid("invalid issuer claim (iss)");
    }
    if now.saturating_add(skew) < start {
        return invalid("token not valid yet (nbf)");
    }
    if now.saturating_sub(skew) > end {
        return invalid("token is expired (exp)");
    }
    if issued != 0 && now.saturating_add(skew) < issued {
        return invalid("token issued in the future (iat)");
    }
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if settings.bound_audiences.is_empty() && !audiences.is_empty() {
        return fault(
            "error validating claims: audience claim found in JWT but no audiences are bound",
        );
    }
    let bound = &settings.bound_audiences;
    if !bound.is_empty() && !bound.iter().any(|one| audiences.contains(&one.as_str())) {
        return fault("error validating claims: aud claim does not match any bound audience");
    }
    Ok(())
}
