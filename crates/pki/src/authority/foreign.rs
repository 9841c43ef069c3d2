//! Certificates that another program's authority has signed for us: is this what was asked for?
//!
//! That authority has its own rules, and whoever runs it may change them. What it answers is handed
//! on only if it is for the key and the id of the request, if the authority that peers are told of
//! has signed it, and if it lives neither longer than was asked for nor from another time on.

use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::intermediate::check_signature;
use super::{IssueError, Leaf};
use crate::certificate::{Certificate, CertificateError};
use crate::csr::address;

/// How far the other program's clock may be from ours, in seconds.
const CLOCKS_APART: i64 = 300;

/// What a leaf must be.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// DER of the `SubjectPublicKeyInfo` in the request.
    pub spki: &'a [u8],
    /// The one URI.
    pub uri: &'a str,
    /// DNS names that it may have.
    pub dns_names: &'a [String],
    /// Addresses that it may have.
    pub addresses: &'a [IpAddr],
    /// Seconds that it lives at most.
    pub ttl: i64,
    /// The present, in seconds since 1970 UTC.
    pub now: i64,
}

/// Takes a leaf that `issuer` has signed, the first certificate of a text.
///
/// # Errors
/// [`IssueError`] if it cannot be read or is not what is wanted.
pub fn check_leaf(
    pem: &str,
    wanted: &Wanted<'_>,
    issuer: &Certificate,
) -> Result<Leaf, IssueError> {
    let leaf = Certificate::from_pem(pem)?;
    let not = |what| Err(IssueError::NotAsAsked(what));
    if leaf.spki_der() != wanted.spki {
        return not("it has another key");
    }
    if leaf.uris() != [wanted.uri] {
        return not("it has another URI");
    }
    // Whoever has the name of a server is one, to those that check names.
    if !names_are_within(&leaf, wanted)? {
        return not("it has names that were not asked for");
    }
    if leaf.is_ca() || leaf.may_sign() {
        return not("it is that of an authority");
    }
    if !leaf.names_purposes() {
        return not("it does not say that it is for clients and servers");
    }
    if leaf.not_before() > wanted.now.saturating_add(CLOCKS_APART) {
        return not("it is not valid yet; compare the clocks of the two machines");
    }
    if leaf.not_after() <= wanted.now {
        return not("it has expired; compare the clocks of the two machines");
    }
    let end = wanted.now.saturating_add(wanted.ttl).saturating_add(CLOCKS_APART);
    if leaf.not_after() > end {
        return not("it lives longer than was asked for");
    }
    check_signature(&leaf, issuer)?;
    Ok(Leaf {
        cert_pem: leaf.to_pem(),
        serial_number: leaf.serial_hex(),
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
    })
}

/// Whether all alternative names but the URI are among those that are wanted.
fn names_are_within(leaf: &Certificate, wanted: &Wanted<'_>) -> Result<bool, IssueError> {
    let malformed = |error: String| IssueError::from(CertificateError::Malformed(error));
    let (_, parsed) =
        X509Certificate::from_der(leaf.der()).map_err(|error| malformed(error.to_string()))?;
    let names = parsed.subject_alternative_name().map_err(|error| malformed(error.to_string()))?;
    let is_wanted = |name: &GeneralName<'_>| match name {
        GeneralName::URI(_) => true,
        GeneralName::DNSName(name) => {
            wanted.dns_names.iter().any(|one| one.eq_ignore_ascii_case(name))
        }
        GeneralName::IPAddress(bytes) => {
            address(bytes).is_some_and(|one| wanted.addresses.contains(&one))
        }
        _ => false,
    };
    Ok(names.is_none_or(|names| names.value.general_names.iter().all(is_wanted)))
}

/// Takes a root's certificate as `old` has signed it anew, the first one of a text, as PEM.
///
/// # Errors
/// [`IssueError`] if it cannot be read, or does not lead from `old` to `new`.
pub fn check_cross_signed(
    pem: &str,
    new: &Certificate,
    old: &Certificate,
) -> Result<String, IssueError> {
    let crossed = Certificate::from_pem(pem)?;
    if crossed.spki_der() != new.spki_der() || crossed.subject_der() != new.subject_der() {
        return Err(IssueError::NotAsAsked("it is not for the new root"));
    }
    if !crossed.may_sign() {
        return Err(IssueError::NotAnAuthority);
    }
    check_signature(&crossed, old)?;
    Ok(crossed.to_pem())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent_id::AgentId;
    use crate::authority::{LEAF_TTL, Root};
    use crate::csr::{self, Csr};
    use crate::fixture::{NOW, domain, leaf, request, root, service};
    use crate::key::PrivateKey;

    fn wanted<'a>(certificate: &'a Certificate, uri: &'a str) -> Wanted<'a> {
        Wanted {
            spki: certificate.spki_der(),
            uri,
            dns_names: &[],
            addresses: &[],
            ttl: LEAF_TTL,
            now: NOW,
        }
    }

    #[test]
    fn what_was_asked_for_is_taken() {
        let root = root(7);
        let (pem, _) = leaf(&root, &service("web"), NOW);
        let certificate = Certificate::from_pem(&pem).unwrap();
        let uri = service("web").to_uri();
        let taken = check_leaf(&pem, &wanted(&certificate, &uri), root.certificate()).unwrap();
        assert_eq!(taken.cert_pem, pem);
        assert_eq!(taken.serial_number, certificate.serial_hex());
        assert_eq!((taken.not_before, taken.not_after), (NOW - 60, NOW - 60 + LEAF_TTL));
    }

    #[test]
    fn nothing_else_is_taken() {
        let root = root(7);
        let (pem, _) = leaf(&root, &service("web"), NOW);
        let (other, _) = leaf(&root, &service("web"), NOW);
        let (certificate, other) =
            (Certificate::from_pem(&pem).unwrap(), Certificate::from_pem(&other).unwrap());
        let (web, db) = (service("web").to_uri(), service("db").to_uri());
        let good = wanted(&certificate, &web);
        let check = |wanted: &Wanted<'_>, issuer: &Root| {
            check_leaf(&pem, wanted, issuer.certificate()).unwrap_err().to_string()
        };
        for (wanted, text) in [
            (Wanted { spki: other.spki_der(), ..good }, "another key"),
            (Wanted { uri: &db, ..good }, "another URI"),
            (Wanted { now: NOW - 400, ..good }, "not valid yet"),
            (Wanted { now: NOW + LEAF_TTL, ..good }, "expired"),
            (Wanted { ttl: 3600, ..good }, "longer than was asked for"),
        ] {
            let error = check(&wanted, &root);
            assert!(error.contains(text), "{error}");
        }
        let error = check(&good, &crate::fixture::root(8));
        assert!(error.contains("not signed by the root"), "{error}");
        let authority = root.certificate();
        let error =
            check_leaf(root.cert_pem(), &wanted(authority, &authority.uris()[0]), authority);
        assert_eq!(error, Err(IssueError::NotAsAsked("it is that of an authority")));
        assert!(check_leaf("nothing", &good, authority).is_err());
    }

    #[test]
    fn no_name_is_taken_that_was_not_asked_for() {
        let root = root(7);
        let key = PrivateKey::generate().unwrap();
        let id = AgentId { trust_domain: domain(), datacenter: "dc1".into(), node: "n1".into() };
        let (names, addresses) = (["a.example".to_owned()], ["10.0.0.1".parse().unwrap()]);
        let csr = csr::make_for_agent(&id, &names, &addresses, &key).unwrap();
        let csr = Csr::from_pem(&csr).unwrap();
        let pem = root.sign_agent(&csr, &id, LEAF_TTL, NOW).unwrap().cert_pem;
        let certificate = Certificate::from_pem(&pem).unwrap();
        let uri = id.to_uri();
        let check = |dns_names, addresses| {
            let wanted = Wanted { dns_names, addresses, ..wanted(&certificate, &uri) };
            check_leaf(&pem, &wanted, root.certificate())
        };
        check(&names, &addresses).unwrap();
        for (names, addresses) in [(&names[..], &[][..]), (&[], &addresses[..])] {
            let error = check(names, addresses).unwrap_err().to_string();
            assert!(error.contains("names that were not asked for"), "{error}");
        }
    }

    #[test]
    fn a_cross_signed_root_leads_from_the_old_one_to_the_new_one() {
        let (old, new, other) = (root(7), root(8), root(9));
        let crossed = old.cross_sign(new.certificate(), NOW).unwrap();
        let check = |pem: &str, new: &Root, old: &Root| {
            check_cross_signed(pem, new.certificate(), old.certificate())
        };
        assert_eq!(check(&crossed, &new, &old).unwrap(), crossed);
        assert!(check(&crossed, &other, &old).is_err());
        assert!(check(&crossed, &new, &other).is_err());
        assert!(check(new.cert_pem(), &new, &old).is_err());
        let key = PrivateKey::generate().unwrap();
        let request = request(&service("web"), &key);
        let leaf = old.sign_leaf(&request, &service("web"), LEAF_TTL, NOW).unwrap();
        assert!(check(&leaf.cert_pem, &new, &old).is_err());
    }
}
