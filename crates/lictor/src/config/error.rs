//! Why a configuration is refused, in words that name the place.
//!
//! Finding the mistakes is done by the modules around. Texts are the original's where tools and
//! people look for them.

use std::io;

use super::decode::Mistakes;
use super::raw::Origin;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file or folder that cannot be read.
    #[error("config: cannot read {path}: {source}")]
    Read {
        /// Its name.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file that is no HCL or JSON.
    #[error("Error parsing {source_name}: {error}")]
    Syntax {
        /// Its name.
        source_name: String,
        /// Where and why.
        error: lictor_hcl::ParseError,
    },
    /// A file with unknown keys or wrong types.
    #[error("Error parsing {source_name}: {mistakes}")]
    Mistakes {
        /// Its name.
        source_name: String,
        /// All of them.
        mistakes: Mistakes,
    },
    /// Words after the flags.
    #[error("config: Unknown extra arguments: [{}]", .0.join(" "))]
    Extra(Vec<String>),
    /// A flag whose value is of the wrong type.
    #[error("invalid value \"{value}\" for flag -{name}: {reason}")]
    Flag {
        /// Name without dash.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that makes no sense, or not together with the others.
    #[error("{0}")]
    Invalid(String),
}

impl ConfigError {
    /// A mistake of meaning, with its place when that is known.
    pub(super) fn at(origin: Option<&Origin>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Invalid(match origin {
            Some(origin) => format!("{text} ({origin})"),
            None => text,
        })
    }
}
