//! Logging in: somebody else says who the bearer is, and binding rules say what that is worth.
//!
//! | file | subject |
//! | --- | --- |
//! | `settings` | what the settings of a method may say |
//! | `jwt` | a signed statement: is it genuine, and is it for us, now |
//! | `identity` | what of the statement counts, and names made from it |

mod identity;
mod jwt;
mod settings;

pub(crate) use identity::Identity;

use lictor_types::acl::AclAuthMethod;
use lictor_types::timestamp::Timestamp;

use jwt::Keys;
use settings::Settings;

/// The one type of method that there is.
pub(crate) const JWT: &str = "jwt";

/// Why somebody was not let in, or a method cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LoginError(pub(crate) String);

/// Checks logins by one method.
#[derive(Debug)]
pub(crate) struct Validator {
    settings: Settings,
    keys: Keys,
}

impl Validator {
    /// A validator for a method.
    ///
    /// # Errors
    /// When its settings are not in order.
    pub(crate) fn new(method: &AclAuthMethod) -> Result<Self, LoginError> {
        let settings = Settings::read(&method.config)?;
        let keys = Keys::read(&settings.jwt_validation_pub_keys)?;
        Ok(Self { settings, keys })
    }

    /// The names that binding rules may use.
    pub(crate) fn blank(&self) -> Identity {
        Identity::blank(&self.settings)
    }

    /// Who the bearer of a statement is.
    ///
    /// # Errors
    /// When it is not genuine, not for us, or not for now.
    pub(crate) fn validate(&self, bearer: &str, now: Timestamp) -> Result<Identity, LoginError> {
        let claims = self.keys.verified(bearer, &self.settings.jwt_supported_algs)?;
        jwt::check_claims(&claims, &self.settings, now)?;
        Identity::from_claims(&self.settings, &claims)
    }
}

#[cfg(test)]
mod tests;
