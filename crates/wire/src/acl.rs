//! Access control as from version 1.4 on: policies, roles, ways to log in, and who decides.
//!
//! Tokens are in [`crate::acl_token`], what version 1.2 has in [`crate::acl_legacy`].

use std::collections::BTreeMap;
use std::sync::Arc;

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::acl::{
    AclAuthMethod, AclBindingRule, AclLink, AclPolicy, AclQuestion, AclReplication, AclRole,
    AclToken, NodeIdentity, ServiceIdentity,
};
use lictor_types::query::Reply;

use crate::record::{fields, record};
use crate::reply::data;
use crate::value::{Raw, Value};
use crate::{ReadRequest, WriteRequest, methods};

methods! {
    /// A policy by its id or name.
    PolicyRead = "ACL.PolicyRead": ReadRequest<PolicyArgs> => Reply<Option<Arc<AclPolicy>>>;
    /// Policies by their ids.
    PolicyBatchRead = "ACL.PolicyBatchRead": ReadRequest<PolicyIds> => Reply<Batch<AclPolicy>>;
    /// Those among some policies that the caller has, for an agent that decides what it may.
    PolicyResolve = "ACL.PolicyResolve": ReadRequest<PolicyIds> => Reply<Batch<AclPolicy>>;
    /// All policies, without their rules.
    PolicyList = "ACL.PolicyList": ReadRequest => Reply<Vec<Arc<AclPolicy>>>;
    /// Creates or changes a policy.
    PolicySet = "ACL.PolicySet": WriteRequest<PolicyChange> => Arc<AclPolicy>;
    /// Deletes a policy; the reply is its name.
    PolicyDelete = "ACL.PolicyDelete": WriteRequest<PolicyId> => String;
    /// A role by its id or name.
    RoleRead = "ACL.RoleRead": ReadRequest<RoleArgs> => Reply<Option<Arc<AclRole>>>;
    /// Roles by their ids.
    RoleBatchRead = "ACL.RoleBatchRead": ReadRequest<RoleIds> => Reply<Vec<Arc<AclRole>>>;
    /// Those among some roles that the caller has, for an agent that decides what it may.
    RoleResolve = "ACL.RoleResolve": ReadRequest<RoleIds> => Reply<Vec<Arc<AclRole>>>;
    /// All roles, or those with a policy.
    RoleList = "ACL.RoleList": ReadRequest<WithPolicy> => Reply<Vec<Arc<AclRole>>>;
    /// Creates or changes a role.
    RoleSet = "ACL.RoleSet": WriteRequest<RoleChange> => Arc<AclRole>;
    /// Deletes a role; the reply is its name.
    RoleDelete = "ACL.RoleDelete": WriteRequest<RoleId> => String;
    /// A way to log in by its name.
    AuthMethodRead = "ACL.AuthMethodRead":
        ReadRequest<MethodName> => Reply<Option<Arc<AclAuthMethod>>>;
    /// All ways to log in, without their settings.
    AuthMethodList = "ACL.AuthMethodList": ReadRequest => Reply<Vec<Arc<AclAuthMethod>>>;
    /// Creates or changes a way to log in.
    AuthMethodSet = "ACL.AuthMethodSet": WriteRequest<MethodChange> => Arc<AclAuthMethod>;
    /// Deletes a way to log in.
    AuthMethodDelete = "ACL.AuthMethodDelete": WriteRequest<MethodName> => bool;
    /// A binding rule by its id.
    BindingRuleRead = "ACL.BindingRuleRead":
        ReadRequest<RuleId> => Reply<Option<Arc<AclBindingRule>>>;
    /// All binding rules, or those of a method.
    BindingRuleList = "ACL.BindingRuleList":
        ReadRequest<OfMethod> => Reply<Vec<Arc<AclBindingRule>>>;
    /// Creates or changes a binding rule.
    BindingRuleSet = "ACL.BindingRuleSet": WriteRequest<RuleChange> => Arc<AclBindingRule>;
    /// Deletes a binding rule.
    BindingRuleDelete = "ACL.BindingRuleDelete": WriteRequest<RuleId> => bool;
    /// Decides questions about the caller's token.
    Authorize = "ACL.Authorize": ReadRequest<Questions> => Vec<Decided>;
    /// Makes a token for whoever a method vouches for.
    Login = "ACL.Login": WriteRequest<LoginArgs> => Arc<AclToken>;
    /// Ends the caller's token, which a login made.
    Logout = "ACL.Logout": WriteRequest => bool;
    /// How far what another datacenter decides has arrived here.
    ReplicationStatus = "ACL.ReplicationStatus": ReadRequest => AclReplication;
}

/// A policy, by one or the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyArgs {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

fields! { PolicyArgs {
    "PolicyID": id,
    "PolicyName": name,
} }

/// A policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyId {
    /// Its id.
    pub id: String,
}

fields! { PolicyId { "PolicyID": id, } }

/// Policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyIds {
    /// Their ids.
    pub ids: Vec<String>,
}

fields! { PolicyIds { "PolicyIDs": ids, } }

/// What has a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WithPolicy {
    /// The policy's id; empty for whatever there is.
    pub policy: String,
}

fields! { WithPolicy { "Policy": policy, } }

/// A policy to be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyChange {
    /// All of it.
    pub policy: AclPolicy,
}

fields! { PolicyChange { "Policy": policy, } }

/// A role, by one or the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleArgs {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

fields! { RoleArgs {
    "RoleID": id,
    "RoleName": name,
} }

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleId {
    /// Its id.
    pub id: String,
}

fields! { RoleId { "RoleID": id, } }

/// Roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleIds {
    /// Their ids.
    pub ids: Vec<String>,
}

fields! { RoleIds { "RoleIDs": ids, } }

/// A role to be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleChange {
    /// All of it.
    pub role: AclRole,
}

fields! { RoleChange { "Role": role, } }

/// A way to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodName {
    /// Its name.
    pub name: String,
}

fields! { MethodName { "AuthMethodName": name, } }

/// A way to log in, to be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodChange {
    /// All of it.
    pub method: AclAuthMethod,
}

fields! { MethodChange { "AuthMethod": method, } }

/// A binding rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleId {
    /// Its id.
    pub id: String,
}

fields! { RuleId { "BindingRuleID": id, } }

/// What belongs to a way to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfMethod {
    /// The method's name; empty for whatever there is.
    pub method: String,
}

fields! { OfMethod { "AuthMethod": method, } }

/// A binding rule to be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleChange {
    /// All of it.
    pub rule: AclBindingRule,
}

fields! { RuleChange { "BindingRule": rule, } }

/// Questions about the caller's token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    /// They are answered in this order.
    pub questions: Vec<AclQuestion>,
}

fields! { Questions { "Requests": questions, } }

record! { AclQuestion = Self {
    resource: String::new(),
    access: String::new(),
    segment: String::new(),
} => {
    "Access": access,
    "Resource": resource,
    "Segment": segment,
} }

/// A question with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What was asked.
    pub question: AclQuestion,
    /// Whether it may be done.
    pub allow: bool,
}

record! { Decided = Self { question: AclQuestion::zero(), allow: false } => {
    "Access": question.access,
    "Allow": allow,
    "Resource": question.resource,
    "Segment": question.segment,
} }

/// What somebody shows to log in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LoginArgs {
    /// Name of the method.
    pub method: String,
    /// What the method vouches for.
    pub bearer: String,
    /// For people, who look at the token.
    pub meta: BTreeMap<String, String>,
}

impl std::fmt::Debug for LoginArgs {
    /// Without what is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginArgs").field("method", &self.method).finish_non_exhaustive()
    }
}

fields! { LoginArgs { "Auth" fn put_login => take_login, } }

#[derive(Default)]
struct Shown(LoginArgs);

record! { Shown {
    "AuthMethod": 0.method,
    "BearerToken": 0.bearer,
    "Meta": 0.meta,
} }

fn put_login(login: &LoginArgs, to: &mut Writer) {
    Shown(login.clone()).write(to);
}

fn take_login(login: &mut LoginArgs, from: &mut Reader<'_>) -> Result<(), Malformed> {
    *login = Shown::read(from)?.0;
    Ok(())
}

record! { AclLink {
    "ID": id,
    "Name": name,
} }

record! { ServiceIdentity {
    "Datacenters": datacenters,
    "ServiceName": service_name,
} }

record! { NodeIdentity {
    "Datacenter": datacenter,
    "NodeName": node_name,
} }

record! { AclPolicy {
    "CreateIndex": create_index,
    "Datacenters": datacenters,
    "Description": description,
    "Hash": hash as Raw,
    "ID": id,
    "ModifyIndex": modify_index,
    "Name": name,
    "Rules": rules,
    // The language of today.
    "Syntax" = 0_u64,
} }

record! { AclRole {
    "CreateIndex": create_index,
    "Description": description,
    "Hash": hash as Raw,
    "ID": id,
    "ModifyIndex": modify_index,
    "Name": name,
    "NodeIdentities": node_identities,
    "Policies": policies,
    "ServiceIdentities": service_identities,
} }

record! { AclAuthMethod {
    "Config": config,
    "CreateIndex": create_index,
    "Description": description,
    "DisplayName": display_name,
    "MaxTokenTTL": max_token_ttl,
    "ModifyIndex": modify_index,
    "Name": name,
    "TokenLocality": token_locality,
    "Type": kind,
} }

record! { AclBindingRule {
    "AuthMethod": auth_method,
    "BindName": bind_name,
    "BindType": bind_type,
    "CreateIndex": create_index,
    "Description": description,
    "ID": id,
    "ModifyIndex": modify_index,
    "Selector": selector,
} }

record! { AclReplication {
    "Enabled": enabled,
    "LastError": last_error,
    "LastSuccess": last_success,
    "ReplicatedIndex": index,
    "ReplicatedRoleIndex": role_index,
    "ReplicatedTokenIndex": token_index,
    "ReplicationType": kind,
    "Running": running,
    "SourceDatacenter": source_datacenter,
} }

/// Rows as they are, where a list has less of each.
#[derive(Clone, Debug)]
pub struct Batch<T>(pub Vec<Arc<T>>);

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

fields! { Batch<AclPolicy> { "Policies": 0, } }

/// Policies without their rules.
struct PolicyStubs;

impl PolicyStubs {
    fn write(policies: &[Arc<AclPolicy>], to: &mut Writer) {
        to.array(policies.len());
        for policy in policies {
            to.map(7);
            to.raw("CreateIndex").uint(policy.create_index);
            to.raw("Datacenters");
            policy.datacenters.write(to);
            to.raw("Description").raw(&policy.description);
            to.raw("Hash").raw_or_nil(&policy.hash);
            to.raw("ID").raw(&policy.id);
            to.raw("ModifyIndex").uint(policy.modify_index);
            to.raw("Name").raw(&policy.name);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Vec<Arc<AclPolicy>>, Malformed> {
        Value::read(from)
    }
}

/// Ways to log in without their settings.
struct MethodStubs;

impl MethodStubs {
    fn write(methods: &[Arc<AclAuthMethod>], to: &mut Writer) {
        to.array(methods.len());
        for method in methods {
            to.map(8);
            to.raw("CreateIndex").uint(method.create_index);
            to.raw("Description").raw(&method.description);
            to.raw("DisplayName").raw(&method.display_name);
            to.raw("MaxTokenTTL").int(method.max_token_ttl);
            to.raw("ModifyIndex").uint(method.modify_index);
            to.raw("Name").raw(&method.name);
            to.raw("TokenLocality").raw(&method.token_locality);
            to.raw("Type").raw(&method.kind);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Vec<Arc<AclAuthMethod>>, Malformed> {
        Value::read(from)
    }
}

data! {
    "Policy": Option<Arc<AclPolicy>>;
    "Policies": Vec<Arc<AclPolicy>> as PolicyStubs;
    "Role": Option<Arc<AclRole>>;
    "Roles": Vec<Arc<AclRole>>;
    "AuthMethod": Option<Arc<AclAuthMethod>>;
    "AuthMethods": Vec<Arc<AclAuthMethod>> as MethodStubs;
    "BindingRule": Option<Arc<AclBindingRule>>;
    "BindingRules": Vec<Arc<AclBindingRule>>;
}
