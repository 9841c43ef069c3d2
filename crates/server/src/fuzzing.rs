//! Entries for the fuzz targets: readers that are not public otherwise.

use lictor_types::acl::AclAuthMethod;
use lictor_types::timestamp::Timestamp;

use crate::acl::login::Validator;

/// A key that nobody has the other half of at hand.
const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE82nqYtADujuh3QcaiomXPPVhRbwy\n\
    I+5CefevQ9/HfF2i9Rqik9JuklRjyZoR9QGUyTgz+nBdQdJc0RDXBnB8Sw==\n\
    -----END PUBLIC KEY-----\n";

/// Whether a text is a statement that logs its bearer in.
#[must_use]
pub fn jwt(text: &str) -> bool {
    let mut method = AclAuthMethod::default();
    method.config.insert("JWTValidationPubKeys".to_owned(), vec![KEY].into());
    let validator = Validator::new(&method);
    validator.is_ok_and(|validator| validator.validate(text, Timestamp(1)).is_ok())
}

/// Reads settings of a way to log in, and fills in a name by them.
pub fn method(settings: &str, template: &str) {
    let mut method = AclAuthMethod::default();
    if let Ok(serde_json::Value::Object(config)) = serde_json::from_str(settings) {
        method.config = config;
    }
    if let Ok(validator) = Validator::new(&method) {
        // A name that cannot be made is an error, which is well.
        let _ = validator.blank().fill_in(template);
    }
}
