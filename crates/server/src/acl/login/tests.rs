//! Tokens of others, genuine and forged, and what is made of their claims.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_700_000_000;

struct Issuer {
    key: EcdsaKeyPair,
}

impl Issuer {
    fn new() -> Self {
        Self { key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    fn public_key(&self) -> String {
        let der = self.key.public_key().as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    fn states(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mark = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mark.as_ref()))
    }
}

fn method(config: Value) -> AclAuthMethod {
    let Value::Object(config) = config else { panic!("no object") };
    AclAuthMethod { name: "m".into(), kind: JWT.into(), config, ..AclAuthMethod::default() }
}

fn now() -> Timestamp {
    Timestamp(NOW * 1_000_000_000)
}

fn alg() -> Value {
    json!({"alg": "ES256", "typ": "JWT"})
}

#[test]
fn a_genuine_statement_says_who_it_is() {
    let issuer = Issuer::new();
    let validator = Validator::new(&method(json!({
        "JWTValidationPubKeys": [Issuer::new().public_key(), issuer.public_key()],
        "bound_issuer": "me",
        "BoundAudiences": ["consul"],
        "ClaimMappings": {"sub": "who", "/deep/er": "number", "missing": "none"},
        "ListClaimMappings": {"groups": "groups", "one": "one"},
    })))
    .unwrap();
    let claims = json!({
        "iss": "me", "aud": ["x", "consul"], "exp": NOW + 10, "sub": "Web-1",
        "deep": {"er": 7.9}, "groups": ["a", "", true], "one": "x",
    });
    let identity = validator.validate(&issuer.states(&alg(), &claims), now()).unwrap();
    let values = [("none", ""), ("number", "7"), ("who", "Web-1")];
    assert_eq!(identity.values.iter().map(|(k, v)| (&**k, &**v)).collect::<Vec<_>>(), values);
    assert_eq!(identity.lists["groups"], ["a", "true"]);
    assert_eq!(identity.lists["one"], ["x"]);
    assert_eq!(identity.fill_in("svc-${value.who}-${ value.number }").unwrap(), "svc-web-1-7");
    assert_eq!(identity.fill_in("$${value.who}").unwrap(), "${value.who}");
    assert!(identity.fill_in("${value.other}").is_err());
    assert!(identity.fill_in("${value.who").is_err());
    assert_eq!(validator.blank().values.len(), 3);
}

#[test]
fn selectors_pick_by_values_and_lists() {
    let identity = Identity {
        values: [("who".to_owned(), "Web-1".to_owned())].into(),
        lists: [("groups".to_owned(), vec!["a".to_owned(), "ops".to_owned()])].into(),
    };
    for (selector, expected) in [
        ("", true),
        ("value.who == `Web-1`", true),
        ("value.who == `web-1`", false),
        ("value.who matches `^Web-` and ops in list.groups", true),
        ("value.who != `Web-1` or dev in list.groups", false),
        ("list.groups is empty", false),
        ("list.groups not contains dev", true),
        ("who in value and groups in list", true),
        ("value.other == x", false),
        ("x in list.other", false),
    ] {
        assert_eq!(identity.is_selected_by(selector), Ok(expected), "{selector}");
    }
    for (selector, why) in [
        ("foo", ""),
        ("who == x", "Selector \"who\" is not valid"),
        ("list.groups == x", "Invalid match operator \"Equal\" for selector \"list.groups\""),
        ("list.groups.a == x", "Selector \"list.groups.a\" is not valid"),
        ("value.who matches `(`", "Failed to compile regular expression"),
    ] {
        let error = identity.is_selected_by(selector).unwrap_err().0;
        assert!(error.starts_with(why), "{selector}: {error}");
    }
}

#[test]
fn others_are_not_let_in() {
    let issuer = Issuer::new();
    let config = json!({
        "JWTValidationPubKeys": [issuer.public_key()],
        "BoundIssuer": "me",
        "BoundAudiences": ["consul"],
    });
    let validator = Validator::new(&method(config)).unwrap();
    let good = json!({"iss": "me", "aud": "consul", "iat": NOW});
    assert!(validator.validate(&issuer.states(&alg(), &good), now()).is_ok());
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        validator.validate(&issuer.states(&alg(), &claims), now()).unwrap_err().0
    };
    assert!(with("iss", json!("you")).contains("(iss)"));
    assert!(with("aud", json!("other")).contains("does not match any bound audience"));
    assert!(with("exp", json!(NOW - 61)).contains("(exp)"));
    assert!(with("nbf", json!(NOW + 61)).contains("(nbf)"));
    assert!(with("iat", json!(NOW + 61)).contains("(nbf)"));
    assert!(with("iat", json!(0)).contains("no issue time"));
    assert!(with("exp", json!("soon")).contains("no time"));
    let said = |jwt: &str| validator.validate(jwt, now()).unwrap_err().0;
    assert_eq!(said(""), "missing jwt");
    assert!(said("a.b").contains("no signed JWT"));
    let unknown = "no known key successfully validated the token signature";
    assert_eq!(said(&Issuer::new().states(&alg(), &good)), unknown);
    // A signature of another algorithm than the key's is none.
    assert_eq!(said(&issuer.states(&json!({"alg": "RS256"}), &good)), unknown);
    for header in [json!({"alg": "none"}), json!({"alg": "HS256"}), json!({})] {
        assert!(said(&issuer.states(&header, &good)).contains("is not accepted"), "{header}");
    }
    assert!(said(&issuer.states(&json!({"alg": "ES256", "crit": ["x"]}), &good)).contains("exten"));
    // An unbound audience is suspicious.
    let open = method(json!({"JWTValidationPubKeys": [issuer.public_key()]}));
    let open = Validator::new(&open).unwrap();
    assert!(open.validate(&issuer.states(&alg(), &good), now()).is_err());
}

#[test]
fn settings_that_are_not_in_order() {
    let key = Issuer::new().public_key();
    for (config, why) in [
        (json!({}), "must be set"),
        (json!({"JWTValidationPubKeys": ["x"]}), "does not contain"),
        (json!({"JWTValidationPubKeys": 5}), "list of texts"),
        (json!({"JWTValidationPubKeys": [key], "JWKSURL": "http://x"}), "fetches no keys"),
        (json!({"JWTValidationPubKeys": [key], "JWTSupportedAlgs": ["HS256"]}), "HS256"),
        (json!({"JWTValidationPubKeys": [key], "Other": 1}), "no setting"),
        (
            json!({"JWTValidationPubKeys": [key], "ClaimMappings": {"a": "x", "b": "x"}}),
            "multiple mappings for key \"x\"",
        ),
        (json!({"JWTValidationPubKeys": [key], "ClockSkewLeeway": "long"}), "duration"),
    ] {
        let error = Validator::new(&method(config.clone())).unwrap_err();
        assert!(error.0.contains(why), "{config}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_refused(text in "[A-Za-z0-9_.=-]{0,80}|\\PC{0,40}") {
        let issuer = Issuer::new();
        let method = method(json!({"JWTValidationPubKeys": [issuer.public_key()]}));
        prop_assert!(Validator::new(&method).unwrap().validate(&text, now()).is_err());
    }

    #[test]
    fn a_changed_statement_is_refused(at in any::<prop::sample::Index>(), byte in b'a'..=b'z') {
        let issuer = Issuer::new();
        let method = method(json!({"JWTValidationPubKeys": [issuer.public_key()]}));
        let jwt = issuer.states(&alg(), &json!({"iat": NOW, "sub": "x"}));
        let mut bytes = jwt.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assume!(changed != jwt);
        prop_assert!(Validator::new(&method).unwrap().validate(&changed, now()).is_err());
    }

    #[test]
    fn any_template_is_filled_in_or_refused(template in "[a-z${}. ]{0,30}") {
        let _ = Identity::default().fill_in(&template);
    }
}
