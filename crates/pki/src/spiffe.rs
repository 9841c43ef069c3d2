//! SPIFFE ids as Connect writes them: one form for a service, one for a signing authority, and one for
//! an agent ([`crate::agent_id`]).
//!
//! Absent on purpose: whether an id may do something, and where ids are carried (certificates,
//! requests). Reading follows the observed behaviour of Consul 1.2, including its error texts,
//! except that user info, port, query and fragment are refused, which a SPIFFE id cannot have:
//! what is compared is then everything there is.

use std::fmt;

use crate::agent_id::AgentId;

/// The longest id that is read, in bytes, as the SPIFFE standard sets it.
pub const MAX_URI_BYTES: usize = 2048;

/// The namespace of every service; there is no other one yet.
pub const DEFAULT_NAMESPACE: &str = "default";

/// What every trust domain of this system ends with, whatever its DNS domain is.
const SUFFIX: &str = ".consul";

const SCHEME: &str = "spiffe";

/// Why a text is not a SPIFFE id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeError {
    /// It is not even a URI.
    #[error("parse {input:?}: {reason}")]
    Uri {
        /// The whole text.
        input: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is a URI of another scheme, or of none.
    #[error("SPIFFE ID must have 'spiffe' scheme")]
    Scheme,
    /// It names neither a service nor a signing authority.
    #[error("SPIFFE ID is not in the expected format")]
    Format,
}

impl SpiffeError {
    /// Whether the text is no URI at all; clients are told so in other words.
    #[must_use]
    pub const fn is_uri_syntax(&self) -> bool {
        matches!(self, Self::Uri { .. })
    }
}

/// The host part of an id: all services that share a certificate authority.
///
/// Kept in lower case, so that comparison ignores the case of what was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Reads a host name such as `11111111-2222-3333-4444-555555555555.consul`.
    ///
    /// # Errors
    /// [`SpiffeError::Format`] if it is empty, too long, or has characters that no host has.
    pub fn new(host: &str) -> Result<Self, SpiffeError> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if host.is_empty() || host.len() > 255 || !host.bytes().all(valid) {
            return Err(SpiffeError::Format);
        }
        Ok(Self(host.to_ascii_lowercase()))
    }

    /// The trust domain of the cluster with this id (a UUID).
    ///
    /// # Errors
    /// [`SpiffeError::Format`] if the id cannot be part of a host name.
    pub fn for_cluster(cluster_id: &str) -> Result<Self, SpiffeError> {
        if cluster_id.is_empty() {
            return Err(SpiffeError::Format);
        }
        Self::new(&format!("{cluster_id}{SUFFIX}"))
    }

    /// The host name, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the authority that signs for this domain, as its root certificate carries it.
    #[must_use]
    pub fn signing_uri(&self) -> String {
        format!("{SCHEME}://{}", self.0)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of a service: what its leaf certificate certifies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId {
    /// The domain whose authority signed.
    pub trust_domain: TrustDomain,
    /// The service's namespace, [`DEFAULT_NAMESPACE`] today.
    pub namespace: String,
    /// The datacenter that the service runs in.
    pub datacenter: String,
    /// The service's name (not the id of one instance).
    pub service: String,
}

impl ServiceId {
    /// The id of a service in the default namespace.
    pub fn new(
        trust_domain: TrustDomain,
        datacenter: impl Into<String>,
        service: impl Into<String>,
    ) -> Self {
        Self {
            trust_domain,
            namespace: DEFAULT_NAMESPACE.to_owned(),
            datacenter: datacenter.into(),
            service: service.into(),
        }
    }

    /// The id as a URI, with what cannot stand in a path segment percent-encoded.
    #[must_use]
    pub fn to_uri(&self) -> String {
        let mut uri = String::with_capacity(
            32 + self.trust_domain.0.len()
                + self.namespace.len()
                + self.datacenter.len()
                + self.service.len(),
        );
        uri.push_str(SCHEME);
        uri.push_str("://");
        uri.push_str(&self.trust_domain.0);
        for (name, value) in
            [("/ns/", &self.namespace), ("/dc/", &self.datacenter), ("/svc/", &self.service)]
        {
            uri.push_str(name);
            push_encoded(&mut uri, value);
        }
        uri
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_uri())
    }
}

/// Any id that this system writes into certificates.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SpiffeId {
    /// A service: `spiffe://<trust-domain>/ns/<namespace>/dc/<datacenter>/svc/<service>`.
    Service(ServiceId),
    /// An agent: `spiffe://<trust-domain>/agent/client/dc/<datacenter>/id/<node>`.
    Agent(AgentId),
    /// The authority of a trust domain: `spiffe://<trust-domain>`.
    Signing(TrustDomain),
}

impl SpiffeId {
    /// Reads an id from its URI.
    ///
    /// # Errors
    /// [`SpiffeError`], whose texts are those that clients of the HTTP API know.
    pub fn parse(input: &str) -> Result<Self, SpiffeError> {
        let uri = Uri::parse(input)
            .map_err(|reason| SpiffeError::Uri { input: input.to_owned(), reason })?;
        if !uri.scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(SpiffeError::Scheme);
        }
        if uri.has_extras || input.len() > MAX_URI_BYTES {
            return Err(SpiffeError::Format);
        }
        let trust_domain = TrustDomain::new(uri.host)?;
        if uri.path.is_empty() {
            return match uri.host.find('.') {
                Some(1..) => Ok(Self::Signing(trust_domain)),
                _ => Err(SpiffeError::Format),
            };
        }
        let mut segments = uri.path.split('/');
        match (segments.next(), segments.next()) {
            (Some(""), Some("ns")) => {}
            (Some(""), Some("agent")) => {
                return AgentId::from_segments(trust_domain, segments).map(Self::Agent);
            }
            _ => return Err(SpiffeError::Format),
        }
        let namespace = decode_segment(segments.next())?;
        if segments.next() != Some("dc") {
            return Err(SpiffeError::Format);
        }
        let datacenter = decode_segment(segments.next())?;
        if segments.next() != Some("svc") {
            return Err(SpiffeError::Format);
        }
        let service = decode_segment(segments.next())?;
        if segments.next().is_some() {
            return Err(SpiffeError::Format);
        }
        Ok(Self::Service(ServiceId { trust_domain, namespace, datacenter, service }))
    }

    /// The id as a URI.
    #[must_use]
    pub fn to_uri(&self) -> String {
        match self {
            Self::Service(id) => id.to_uri(),
            Self::Agent(id) => id.to_uri(),
            Self::Signing(trust_domain) => trust_domain.signing_uri(),
        }
    }

    /// The trust domain, which all forms have.
    #[must_use]
    pub const fn trust_domain(&self) -> &TrustDomain {
        match self {
            Self::Service(id) => &id.trust_domain,
            Self::Agent(id) => &id.trust_domain,
            Self::Signing(trust_domain) => trust_domain,
        }
    }

    /// The service's id, if it is one.
    #[must_use]
    pub fn into_service(self) -> Option<ServiceId> {
        match self {
            Self::Service(id) => Some(id),
            Self::Agent(_) | Self::Signing(_) => None,
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_uri())
    }
}

impl std::str::FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        Self::parse(input)
    }
}

/// The parts of a URI that an id needs, still encoded.
struct Uri<'a> {
    scheme: &'a str,
    host: &'a str,
    path: &'a str,
    /// User info, port, query, fragment, or no authority at all.
    has_extras: bool,
}

impl<'a> Uri<'a> {
    /// Splits a URI, with the complaints of Go's parser, which API clients see.
    fn parse(input: &'a str) -> Result<Self, String> {
        let (rest, fragment) = cut(input, '#');
        if rest.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (scheme, rest) = split_scheme(rest)?;
        let (rest, query) = cut(rest, '?');
        let mut has_extras = fragment.is_some() || query.is_some();

        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => {
                has_extras = true;
                // Behind a scheme this is opaque text in which nothing is escaped.
                if !scheme.is_empty() && !rest.starts_with('/') {
                    return Ok(Self { scheme, host: "", path: "", has_extras });
                }
                if rest.split('/').next().is_some_and(|first| first.contains(':')) {
                    return Err("first path segment in URL cannot contain colon".to_owned());
                }
                ("", rest)
            }
        };
        check_escapes(authority)?;
        check_escapes(path)?;
        has_extras |= authority.contains(['@', ':']);
        Ok(Self { scheme, host: authority, path, has_extras })
    }
}

/// Splits at the first `separator`; the second part is there if the separator is.
fn cut(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

/// Checks that every `%` is followed by two hexadecimal digits.
fn check_escapes(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        rest = &rest[at..];
        let bytes = rest.as_bytes();
        if bytes.len() < 3 || !bytes[1].is_ascii_hexdigit() || !bytes[2].is_ascii_hexdigit() {
            let shown: String = rest.chars().take(3).collect();
            return Err(format!("invalid URL escape {shown:?}"));
        }
        rest = &rest[3..];
    }
    Ok(())
}

/// Decodes one path segment, which must be there and hold something that a name can hold.
pub(crate) fn decode_segment(segment: Option<&str>) -> Result<String, SpiffeError> {
    let segment = segment.filter(|text| !text.is_empty()).ok_or(SpiffeError::Format)?;
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(SpiffeError::Format);
        };
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| SpiffeError::Format)?);
    }
    String::from_utf8(bytes).map_err(|_| SpiffeError::Format)
}

/// Appends `text` so that it stands in one path segment. The characters that stay as they are
/// are those of Go's URL type (but for the slash), because its users compare ids as text.
pub(crate) fn push_encoded(uri: &mut String, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',')
            || matches!(byte, b':' | b';' | b'=' | b'@');
        if plain {
            uri.push(char::from(byte));
        } else {
            uri.push('%');
            uri.push(char::from(DIGITS[usize::from(byte >> 4)]));
            uri.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TD: &str = "11111111-2222-3333-4444-555555555555.consul";

    fn service(uri: &str) -> ServiceId {
        SpiffeId::parse(uri).unwrap().into_service().unwrap()
    }

    #[test]
    fn reads_both_forms() {
        let id = service(&format!("spiffe://{TD}/ns/default/dc/dc1/svc/web"));
        assert_eq!(id, ServiceId::new(TrustDomain::new(TD).unwrap(), "dc1", "web"));
        let signing = SpiffeId::parse(&format!("spiffe://{TD}")).unwrap();
        assert_eq!(signing, SpiffeId::Signing(TrustDomain::new(TD).unwrap()));
        assert_eq!(signing.to_uri(), format!("spiffe://{TD}"));
    }

    #[test]
    fn case_of_scheme_and_trust_domain_does_not_matter() {
        let upper = service("SPIFFE://ABC.Consul/ns/default/dc/dc1/svc/Web");
        assert_eq!(upper.trust_domain, TrustDomain::new("abc.consul").unwrap());
        assert_eq!(upper.service, "Web");
        assert_eq!(upper.to_uri(), "spiffe://abc.consul/ns/default/dc/dc1/svc/Web");
    }

    #[test]
    fn segments_are_decoded_each_for_itself() {
        let id = service("spiffe://a.consul/ns/default/dc/d%20c/svc/a%2Fb%25");
        assert_eq!((id.datacenter.as_str(), id.service.as_str()), ("d c", "a/b%"));
        assert_eq!(id.to_uri(), "spiffe://a.consul/ns/default/dc/d%20c/svc/a%2Fb%25");
    }

    #[test]
    fn what_is_no_id_is_refused_with_the_known_texts() {
        const SCHEME: &str = "SPIFFE ID must have 'spiffe' scheme";
        const FORMAT: &str = "SPIFFE ID is not in the expected format";
        for (input, expected) in [
            ("", SCHEME),
            ("web", SCHEME),
            ("http://x/y", SCHEME),
            ("//a.consul/ns/default/dc/dc1/svc/web", SCHEME),
            ("spiffe:", FORMAT),
            ("spiffe:a.consul", FORMAT),
            ("spiffe://", FORMAT),
            ("spiffe://nodot", FORMAT),
            ("spiffe://.consul", FORMAT),
            ("spiffe://a.consul/", FORMAT),
            ("spiffe://a.consul/ns/default/dc/dc1/svc/", FORMAT),
            ("spiffe://a.consul/ns/default/dc/dc1/svc/web/", FORMAT),
            ("spiffe://a.consul/ns/default/dc/dc1/svc/web/x", FORMAT),
            ("spiffe://a.consul/ns//dc/dc1/svc/web", FORMAT),
            ("spiffe://a.consul/dc/dc1/ns/default/svc/web", FORMAT),
            ("spiffe://a.consul/%6es/default/dc/dc1/svc/web", FORMAT),
            ("spiffe://a.consul:8300/ns/default/dc/dc1/svc/web", FORMAT),
            ("spiffe://u@a.consul/ns/default/dc/dc1/svc/web", FORMAT),
            ("spiffe://a.consul/ns/default/dc/dc1/svc/web?x=1", FORMAT),
            ("spiffe://a.consul/ns/default/dc/dc1/svc/web#", FORMAT),
            ("spiffe://a.consul/ns/default/dc/dc1/svc/%ff", FORMAT),
            ("%zz", "parse \"%zz\": invalid URL escape \"%zz\""),
            ("spiffe://a.consul/%", "parse \"spiffe://a.consul/%\": invalid URL escape \"%\""),
            (":x", "parse \":x\": missing protocol scheme"),
            ("1:x", "parse \"1:x\": first path segment in URL cannot contain colon"),
            ("a\tb", "parse \"a\\tb\": net/url: invalid control character in URL"),
        ] {
            let error = SpiffeId::parse(input).unwrap_err();
            assert_eq!(error.to_string(), expected, "{input}");
            assert_eq!(error.is_uri_syntax(), expected.starts_with("parse"), "{input}");
        }
        let long = format!("spiffe://a.consul/ns/default/dc/dc1/svc/{}", "x".repeat(MAX_URI_BYTES));
        assert_eq!(SpiffeId::parse(&long), Err(SpiffeError::Format));
    }

    #[test]
    fn trust_domains_of_clusters() {
        let id = "AAAAAAAA-2222-3333-4444-555555555555";
        let domain = TrustDomain::for_cluster(id).unwrap();
        assert_eq!(domain.as_str(), "aaaaaaaa-2222-3333-4444-555555555555.consul");
        assert_eq!(domain.signing_uri(), format!("spiffe://{domain}"));
        assert!(TrustDomain::for_cluster("").is_err());
        assert!(TrustDomain::new("a/b").is_err());
        assert!(TrustDomain::new("ä.consul").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            host in "[a-z0-9]{1,12}\\.consul",
            namespace in "\\PC{1,12}", datacenter in "[^\u{0}]{1,12}", service in ".{1,40}",
        ) {
            let id = ServiceId {
                trust_domain: TrustDomain::new(&host).unwrap(), namespace, datacenter, service,
            };
            let uri = id.to_uri();
            prop_assert!(uri.is_ascii());
            prop_assert_eq!(SpiffeId::parse(&uri), Ok(SpiffeId::Service(id)));
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = SpiffeId::parse(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn nothing_like_an_id_makes_it_panic(tail in "[/%:@?#a-z0-9é\u{7f}]{0,60}") {
            for input in [format!("spiffe://{tail}"), format!("spiffe://a.consul/ns/{tail}")] {
                if let Ok(id) = SpiffeId::parse(&input) {
                    prop_assert_eq!(SpiffeId::parse(&id.to_uri()), Ok(id));
                }
            }
        }
    }
}
