//! Why entries make no chain.

use std::fmt::{self, Write as _};

/// Why a chain cannot be compiled, or a change of the entries cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No service was named.
    #[error("serviceName is required")]
    NoName,
    /// Services in it speak differently.
    #[error(
        "discovery chain {} uses inconsistent protocols; service {} has {} which is not {}",
        Quoted(chain),
        Quoted(service),
        Quoted(protocol),
        Quoted(expected)
    )]
    InconsistentProtocols {
        /// Name of the chain.
        chain: String,
        /// The service that differs.
        service: String,
        /// What it speaks.
        protocol: String,
        /// What those before it speak.
        expected: String,
    },
    /// It has routers or splitters, but requests cannot be told apart.
    #[error(
        "discovery chain {} uses a protocol {} that does not permit advanced routing or splitting \
         behavior",
        Quoted(chain),
        Quoted(protocol)
    )]
    NotPermitted {
        /// Name of the chain.
        chain: String,
        /// What it speaks.
        protocol: String,
    },
    /// Splitters lead back to themselves.
    #[error("detected circular reference: [{}]", .0.join(" -> "))]
    CircularReference(Vec<String>),
    /// Redirects of resolvers lead back to themselves.
    #[error("detected circular resolver redirect: [{}]", .0.join(" -> "))]
    CircularRedirect(Vec<String>),
    /// A subset that the service's resolver does not define.
    #[error("service {} does not have a subset named {}", Quoted(service), Quoted(subset))]
    NoSubset {
        /// The service.
        service: String,
        /// The subset.
        subset: String,
    },
    /// The resolver of a service outside of the mesh says what only the mesh can do.
    #[error(
        "service {} has an external SNI set; cannot define {what} for external services",
        Quoted(service)
    )]
    External {
        /// The service.
        service: String,
        /// `redirects`, `subsets`, `failover`.
        what: &'static str,
    },
    /// Too many splitters follow each other.
    #[error(
        "discovery chain {} has more than {} splitters in a row",
        Quoted(chain),
        super::DEPTH_MAX
    )]
    TooLong {
        /// Name of the chain.
        chain: String,
    },
    /// Splitters that split each other's parts come to too many parts.
    #[error("discovery chain {} has more than {} splits", Quoted(chain), super::SPLITS_MAX)]
    TooManySplits {
        /// Name of the chain.
        chain: String,
    },
    /// A gateway's listener speaks otherwise than a service that it leads to.
    #[error(
        "service {} has protocol {}, which does not match defined listener protocol {}",
        Quoted(service),
        Quoted(protocol),
        Quoted(listener)
    )]
    ListenerProtocol {
        /// The service.
        service: String,
        /// What it speaks.
        protocol: String,
        /// What the listener speaks.
        listener: String,
    },
    /// Intentions look into requests that the service does not have.
    #[error(
        "service {} has protocol {}, which is incompatible with L7 intentions permissions",
        Quoted(service),
        Quoted(protocol)
    )]
    IntentionProtocol {
        /// The service.
        service: String,
        /// What it speaks.
        protocol: String,
    },
    /// There is a gateway of the other kind with that name.
    #[error(
        "cannot create a \"{kind}\" config entry with name {}, a \"{other}\" config entry with \
         that name already exists",
        Quoted(name)
    )]
    GatewayClash {
        /// Kind of the new entry.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Kind of the one that is there.
        other: &'static str,
    },
}

/// A text in quotes, with the escapes that users of the original know.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '\'' => f.write_char(c)?,
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\x07' => f.write_str("\\a")?,
                '\x08' => f.write_str("\\b")?,
                '\x0b' => f.write_str("\\v")?,
                '\x0c' => f.write_str("\\f")?,
                '\0'..' ' | '\x7f' => write!(f, "\\x{:02x}", u32::from(c))?,
                // What cannot be seen.
                _ if c.escape_debug().len() > 1 => match u32::from(c) {
                    short @ 0..0x1_0000 => write!(f, "\\u{short:04x}")?,
                    long => write!(f, "\\U{long:08x}")?,
                },
                _ => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_users_know_it() {
        for (text, quoted) in [
            ("web", "\"web\""),
            ("a\"b\\c'd<é", "\"a\\\"b\\\\c'd<é\""),
            ("\0\n\x1b\x7f", "\"\\x00\\n\\x1b\\x7f\""),
            ("\u{200b}\u{e0001}", "\"\\u200b\\U000e0001\""),
        ] {
            assert_eq!(Quoted(text).to_string(), quoted);
        }
    }
}
