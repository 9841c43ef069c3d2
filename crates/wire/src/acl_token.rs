//! Tokens as from version 1.4 on.

use std::sync::Arc;

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::acl::{AclToken, CLIENT, TokenRequest};
use lictor_types::query::Reply;

use crate::record::{Fields, as_value, fields};
use crate::reply::data;
use crate::value::Value;
use crate::{ReadRequest, WriteRequest, methods};

methods! {
    /// A token by its accessor or its secret.
    TokenRead = "ACL.TokenRead": ReadRequest<TokenArgs> => Reply<TokenFound>;
    /// Tokens by their accessors.
    TokenBatchRead = "ACL.TokenBatchRead": ReadRequest<Accessors> => Reply<TokensFound>;
    /// Tokens, each without what is long.
    TokenList = "ACL.TokenList": ReadRequest<TokenListArgs> => Reply<Vec<Arc<AclToken>>>;
    /// Creates or changes a token.
    TokenSet = "ACL.TokenSet": WriteRequest<TokenRequest> => Arc<AclToken>;
    /// Creates a token that is allowed the same as the one with the accessor.
    TokenClone = "ACL.TokenClone": WriteRequest<TokenRequest> => Arc<AclToken>;
    /// Deletes a token; the reply is its accessor.
    TokenDelete = "ACL.TokenDelete": WriteRequest<Accessor> => String;
    /// Creates the first token.
    BootstrapTokens = "ACL.BootstrapTokens": ReadRequest => Arc<AclToken>;
}

/// A token.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TokenArgs {
    /// Its accessor, or its secret.
    pub id: String,
    /// Which of them it is.
    pub by_secret: bool,
}

impl std::fmt::Debug for TokenArgs {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("TokenArgs");
        shown.field("by_secret", &self.by_secret).finish_non_exhaustive()
    }
}

fields! { TokenArgs {
    "TokenID": id,
    "TokenIDType" fn put_type => take_type,
} }

fn put_type(args: &TokenArgs, to: &mut Writer) {
    to.raw(if args.by_secret { "secret" } else { "accessor" });
}

fn take_type(args: &mut TokenArgs, from: &mut Reader<'_>) -> Result<(), Malformed> {
    args.by_secret = match from.raw()? {
        b"secret" => true,
        b"accessor" | b"" => false,
        _ => return Err(Malformed::Word),
    };
    Ok(())
}

/// A token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accessor {
    /// Its accessor.
    pub accessor: String,
}

fields! { Accessor { "TokenID": accessor, } }

/// Tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accessors {
    /// Their accessors.
    pub accessors: Vec<String>,
}

fields! { Accessors { "AccessorIDs": accessors, } }

/// Which tokens are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenListArgs {
    /// Whether those are that are valid in their datacenter only.
    pub local: bool,
    /// Whether those are that are valid everywhere.
    pub global: bool,
    /// Only those with this policy; empty for all.
    pub policy: String,
    /// Only those with this role; empty for all.
    pub role: String,
    /// Only those that this method made; empty for all.
    pub auth_method: String,
}

fields! { TokenListArgs {
    "AuthMethod": auth_method,
    "IncludeGlobal": global,
    "IncludeLocal": local,
    "Policy": policy,
    "Role": role,
} }

/// A token that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFound {
    /// The token, if there is one.
    pub token: Option<Arc<AclToken>>,
    /// Whether its secret is not shown.
    pub redacted: bool,
    /// The datacenter that it comes from.
    pub source_datacenter: String,
}

fields! { TokenFound {
    "Redacted": redacted,
    "SourceDatacenter": source_datacenter,
    "Token": token,
} }

/// Tokens that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokensFound {
    /// Those that there are.
    pub tokens: Vec<Arc<AclToken>>,
    /// Whether secrets are not shown.
    pub redacted: bool,
    /// Whether some are gone.
    pub removed: bool,
}

fields! { TokensFound {
    "Redacted": redacted,
    "Removed": removed,
    "Tokens": tokens,
} }

/// Appends the fields of a token that lives for `life` nanoseconds from now on.
fn write_token(token: &AclToken, life: i64, to: &mut Writer) {
    to.raw("ExpirationTTL").int(life);
    to.raw("Rules").raw(&token.rules);
    to.raw("Type").raw(&token.kind);
    write_common(token, to);
}

/// The fields that a token has in a list as well.
fn write_common(token: &AclToken, to: &mut Writer) {
    to.raw("AccessorID").raw(&token.accessor_id);
    to.raw("AuthMethod").raw(&token.auth_method);
    to.raw("CreateIndex").uint(token.create_index);
    to.raw("CreateTime");
    token.create_time.write(to);
    to.raw("Description").raw(&token.description);
    to.raw("ExpirationTime");
    token.expiration_time.write(to);
    to.raw("Hash").raw_or_nil(&token.hash);
    to.raw("Local").bool(token.local);
    to.raw("ModifyIndex").uint(token.modify_index);
    to.raw("NodeIdentities");
    token.node_identities.write(to);
    to.raw("Policies");
    token.policies.write(to);
    to.raw("Roles");
    token.roles.write(to);
    to.raw("SecretID").raw(&token.secret_id);
    to.raw("ServiceIdentities");
    token.service_identities.write(to);
}

/// How many fields [`write_common`] appends.
const COMMON: usize = 14;

impl Fields for AclToken {
    const COUNT: usize = 3 + COMMON;

    fn zero() -> Self {
        Self::default()
    }

    fn write_fields(&self, to: &mut Writer) {
        write_token(self, 0, to);
    }

    fn read_field(&mut self, key: &[u8], from: &mut Reader<'_>) -> Result<bool, Malformed> {
        match key {
            b"AccessorID" => self.accessor_id = Value::read(from)?,
            b"AuthMethod" => self.auth_method = Value::read(from)?,
            b"CreateIndex" => self.create_index = Value::read(from)?,
            b"CreateTime" => self.create_time = Value::read(from)?,
            b"Description" => self.description = Value::read(from)?,
            b"ExpirationTime" => self.expiration_time = Value::read(from)?,
            b"Hash" => self.hash = from.raw()?.to_vec(),
            b"Local" => self.local = Value::read(from)?,
            b"ModifyIndex" => self.modify_index = Value::read(from)?,
            b"NodeIdentities" => self.node_identities = Value::read(from)?,
            b"Policies" => self.policies = Value::read(from)?,
            b"Roles" => self.roles = Value::read(from)?,
            b"Rules" => self.rules = Value::read(from)?,
            b"SecretID" => self.secret_id = Value::read(from)?,
            b"ServiceIdentities" => self.service_identities = Value::read(from)?,
            b"Type" => self.kind = Value::read(from)?,
            // In a list.
            b"Legacy" => {
                if from.bool()? && self.kind.is_empty() {
                    CLIENT.clone_into(&mut self.kind);
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

as_value!(AclToken);

/// A token with its life, which a token that is there does not have.
struct Living(TokenRequest);

impl Fields for Living {
    const COUNT: usize = AclToken::COUNT;

    fn zero() -> Self {
        Self(TokenRequest::zero())
    }

    fn write_fields(&self, to: &mut Writer) {
        write_token(&self.0.token, self.0.expiration_ttl, to);
    }

    fn read_field(&mut self, key: &[u8], from: &mut Reader<'_>) -> Result<bool, Malformed> {
        if key == b"ExpirationTTL" {
            self.0.expiration_ttl = Value::read(from)?;
            return Ok(true);
        }
        self.0.token.read_field(key, from)
    }
}

as_value!(Living);

fields! { TokenRequest = Self {
    token: AclToken::default(),
    expiration_ttl: 0,
    create: false,
} => {
    "ACLToken" fn put_token => take_token,
    "Create": create,
} }

fn put_token(request: &TokenRequest, to: &mut Writer) {
    to.map(AclToken::COUNT);
    write_token(&request.token, request.expiration_ttl, to);
}

fn take_token(request: &mut TokenRequest, from: &mut Reader<'_>) -> Result<(), Malformed> {
    let Living(read) = Value::read(from)?;
    (request.token, request.expiration_ttl) = (read.token, read.expiration_ttl);
    Ok(())
}

/// Tokens in a list.
struct Stubs;

impl Stubs {
    fn write(tokens: &[Arc<AclToken>], to: &mut Writer) {
        to.array(tokens.len());
        for token in tokens {
            to.map(1 + COMMON).raw("Legacy").bool(!token.kind.is_empty());
            write_common(token, to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Vec<Arc<AclToken>>, Malformed> {
        Value::read(from)
    }
}

data! { "Tokens": Vec<Arc<AclToken>> as Stubs; }
