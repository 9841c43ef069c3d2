//! What all endpoints of access control share, and those about no single thing: the first token,
//! translating rules, and asking for many decisions at once.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use lictor_acl::{Authorizer, Level, Resource};
use lictor_raft::Storage;
use lictor_types::Index;
use lictor_types::acl::{AclQuestion, AclToken, NodeIdentity, ServiceIdentity};
use lictor_types::command::AclWrite;
use lictor_types::error::{EndpointError, ErrorKind, text::ACL_DISABLED};

use crate::acl::duties::{management_token, unused_id};
use crate::rights::need;
use crate::server::Server;

/// Name of the file in the data folder that allows another bootstrap.
const RESET_FILE: &str = "acl-bootstrap-reset";
/// Longest such file that is looked at.
const RESET_MOST: u64 = 64;
/// Longest names.
const POLICY_NAME_MAX: usize = 128;
const ROLE_NAME_MAX: usize = 256;
const IDENTITY_NAME_MAX: usize = 256;

impl Server {
    /// Refuses where access control is off.
    pub(crate) fn acl_on(&self) -> Result<(), EndpointError> {
        if self.acl_enabled() { Ok(()) } else { Err(EndpointError::refused(ACL_DISABLED)) }
    }

    /// Lets pass who may change tokens and policies, once this server leads.
    pub(crate) async fn acl_writer(&self, token: &str) -> Result<(), EndpointError> {
        self.acl_on()?;
        self.wait_for_leadership().await?;
        need(self.authorizer(token)?.acl_write())
    }

    /// Makes the first token with all rights. Whoever comes first gets it; afterwards it needs the
    /// index of the last time in a file in the leader's data folder.
    ///
    /// # Errors
    /// When there was one already and there is no such file, or it has another index.
    pub async fn acl_bootstrap(&self) -> Result<Arc<AclToken>, EndpointError> {
        self.acl_on()?;
        self.wait_for_leadership().await?;
        let file = self.reset_file();
        let reset_index = match self.view().acl_bootstrap_index() {
            None => 0,
            Some(done) => {
                let path = file.clone();
                let read = move || path.as_deref().and_then(read_reset_file);
                let given = self.tasks().blocking("reading the reset index", read).await.flatten();
                match given {
                    None | Some(0) => {
                        let text = format!("ACL bootstrap no longer allowed (reset index: {done})");
                        return Err(bootstrap_denied(&text));
                    }
                    Some(given) if given != done => {
                        return Err(EndpointError::refused(format!(
                            "Invalid bootstrap reset index (specified {given}, reset index: {done})"
                        )));
                    }
                    Some(given) => given,
                }
            }
        };
        let view = self.view();
        let secret = unused_id(&view);
        let token = management_token(&view, secret, "Bootstrap Token (Global Management)");
        let accessor = token.accessor_id.clone();
        self.acl_write(AclWrite::Bootstrap { token: Box::new(token), reset_index }).await.map_err(
            |error| match error.kind {
                ErrorKind::Refused => bootstrap_denied(&error.text),
                _ => error,
            },
        )?;
        tracing::info!("the first token with all rights was made");
        if let Some(file) = file {
            let removed =
                self.tasks().blocking("removing the reset index", || std::fs::remove_file(file));
            match removed.await {
                Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, "cannot remove {RESET_FILE}; it has served its purpose");
                }
                _ => {}
            }
        }
        self.view().token_by_accessor(&accessor).1.ok_or_else(EndpointError::acl_not_found)
    }

    fn reset_file(&self) -> Option<PathBuf> {
        match &self.config().storage {
            Storage::Memory => None,
            Storage::Disk(folder) => folder.parent().map(|data| data.join(RESET_FILE)),
        }
    }

    /// Decides many questions about one token.
    ///
    /// # Errors
    /// When the token is unknown, or a resource or an access is.
    pub fn acl_authorize(
        &self,
        token: &str,
        questions: &[AclQuestion],
    ) -> Result<Vec<bool>, EndpointError> {
        self.acl_on()?;
        let rights = self.authorizer(token)?;
        questions.iter().map(|question| decide(&rights, question)).collect()
    }
}

fn decide(rights: &Authorizer, question: &AclQuestion) -> Result<bool, EndpointError> {
    let AclQuestion { resource, access, segment } = question;
    let known = Resource::parse(resource).ok_or_else(|| {
        EndpointError::bad_request(format!("Invalid ACL resource requested: {resource:?}"))
    })?;
    let level = Level::parse(access).filter(|level| match level {
        Level::Deny => false,
        Level::List => known == Resource::Segmented(lictor_acl::Segmented::Key),
        Level::Read | Level::Write => true,
    });
    let level = level.ok_or_else(|| {
        let text = format!("Invalid access level for {resource} resource: {access}");
        EndpointError::bad_request(text)
    })?;
    Ok(rights.permits(known, segment, level))
}

fn bootstrap_denied(text: &str) -> EndpointError {
    EndpointError::new(ErrorKind::PermissionDenied, format!("Permission denied: {text}"))
}

fn read_reset_file(path: &std::path::Path) -> Option<Index> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "cannot read the reset index");
            return None;
        }
    };
    let read = file.take(RESET_MOST).read_to_string(&mut text);
    let index = read.ok().and_then(|_| text.trim().parse().ok());
    if index.is_none() {
        tracing::error!(path = %path.display(), "there is no reset index in the file");
    }
    index
}

/// What is wrong with a text as a UUID, as the original's indexes say it.
fn uuid_fault(id: &str) -> Option<&'static str> {
    if id.len() != 36 {
        Some("UUID must be 36 characters")
    } else if uuid::Uuid::try_parse(id).is_err() {
        Some("Invalid UUID")
    } else {
        None
    }
}

/// An ID as it is kept, for a lookup.
pub(crate) fn lookup_id(what: &str, id: &str) -> Result<String, EndpointError> {
    match uuid_fault(id) {
        None => Ok(id.to_ascii_lowercase()),
        Some(fault) => {
            Err(EndpointError::refused(format!("failed acl {what} lookup: index error: {fault}")))
        }
    }
}

/// Whether a text is a UUID.
pub(crate) fn is_uuid(id: &str) -> bool {
    uuid_fault(id).is_none()
}

pub(crate) fn is_policy_name(name: &str) -> bool {
    is_name(name, POLICY_NAME_MAX)
}

pub(crate) fn is_role_name(name: &str) -> bool {
    is_name(name, ROLE_NAME_MAX)
}

fn is_name(name: &str, most: usize) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=most).contains(&name.len()) && name.bytes().all(valid)
}

/// Whether a service or node of that name can be an identity: lower case, no mark at its ends.
pub(crate) fn is_identity_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.len() <= IDENTITY_NAME_MAX
        && bytes.first().copied().is_some_and(plain)
        && bytes.last().copied().is_some_and(plain)
        && bytes.iter().all(|byte| plain(*byte) || matches!(byte, b'-' | b'_'))
}

/// Checks identities of a `what` (token or role), puts them in order and each there once.
pub(crate) fn check_identities(
    what: &str,
    local: bool,
    services: &mut Vec<ServiceIdentity>,
    nodes: &mut Vec<NodeIdentity>,
) -> Result<(), EndpointError> {
    let refused = |text: String| Err(EndpointError::refused(text));
    for service in &*services {
        let name = &service.service_name;
        if name.is_empty() {
            return refused(format!(
                "Service identity is missing the service name field on this {what}"
            ));
        }
        if local && !service.datacenters.is_empty() {
            return refused(format!(
                "Service identity {name:?} cannot specify a list of datacenters on a local token"
            ));
        }
        if !is_identity_name(name) {
            return refused(format!(
                "Service identity {name:?} has an invalid name. Only alphanumeric characters, '-' \
                 and '_' are allowed"
            ));
        }
    }
    for node in &*nodes {
        if node.node_name.is_empty() {
            return refused(format!("Node identity is missing the node name field on this {what}"));
        }
        if node.datacenter.is_empty() {
            return refused(format!(
                "Node identity is missing the datacenter field on this {what}"
            ));
        }
        if !is_identity_name(&node.node_name) {
            let text = "Node identity has an invalid name. Only alphanumeric characters, '-' and \
                        '_' are allowed";
            return refused(text.to_owned());
        }
    }
    merge_services(services);
    nodes.sort_by(|a, b| (&a.node_name, &a.datacenter).cmp(&(&b.node_name, &b.datacenter)));
    nodes.dedup();
    Ok(())
}

/// One entry for each service: without datacenters it holds in all of them.
fn merge_services(services: &mut Vec<ServiceIdentity>) {
    let mut merged: Vec<ServiceIdentity> = Vec::with_capacity(services.len());
    for mut service in services.drain(..) {
        match merged.iter_mut().find(|one| one.service_name == service.service_name) {
            None => merged.push(service),
            Some(one) if one.datacenters.is_empty() => {}
            Some(one) if service.datacenters.is_empty() => one.datacenters.clear(),
            Some(one) => {
                one.datacenters.append(&mut service.datacenters);
                one.datacenters.sort();
                one.datacenters.dedup();
            }
        }
    }
    merged.sort_by(|a, b| a.service_name.cmp(&b.service_name));
    *services = merged;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, policy, identity) in [
            ("web", true, true),
            ("a-b_c9", true, true),
            ("Web", true, false),
            ("-a", true, false),
            ("a_", true, false),
            ("", false, false),
            ("a b", false, false),
            ("é", false, false),
        ] {
            assert_eq!(
                (is_policy_name(name), is_identity_name(name)),
                (policy, identity),
                "{name}"
            );
        }
        assert!(is_policy_name(&"x".repeat(128)) && !is_policy_name(&"x".repeat(129)));
        assert!(is_role_name(&"x".repeat(256)) && !is_role_name(&"x".repeat(257)));
        assert!(is_identity_name(&"x".repeat(256)) && !is_identity_name(&"x".repeat(257)));
    }

    #[test]
    fn a_service_is_named_once() {
        let identity = |name: &str, datacenters: &[&str]| ServiceIdentity {
            service_name: name.to_owned(),
            datacenters: datacenters.iter().map(|&dc| dc.to_owned()).collect(),
        };
        let mut services = vec![
            identity("a", &["dc2", "dc1"]),
            identity("b", &[]),
            identity("a", &["dc3", "dc1"]),
            identity("b", &["dc1"]),
        ];
        check_identities("token", false, &mut services, &mut Vec::new()).unwrap();
        assert_eq!(services, [identity("a", &["dc1", "dc2", "dc3"]), identity("b", &[])]);
    }
}
