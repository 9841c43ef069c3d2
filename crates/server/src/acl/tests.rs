//! Rights, built-in tokens and the end of tokens, on a server in memory.

use std::sync::Arc;

use lictor_acl::{Authorizer, DefaultPolicy};
use lictor_types::acl::{
    AclLink, AclPolicy, AclRole, AclToken, CLIENT, LegacyAcl, MANAGEMENT, TokenRequest,
};
use lictor_types::command::AclWrite;
use lictor_types::error::EndpointError;
use lictor_types::query::QueryOptions;
use lictor_types::timestamp::Timestamp;

use crate::authorize::AclSettings;
use crate::clock;
use crate::server::Server;
use crate::testing;

async fn closed() -> Server {
    let mut config = testing::config();
    config.acl = AclSettings {
        enabled: true,
        default_policy: DefaultPolicy::Deny,
        master_token: "root".to_owned(),
        ..AclSettings::default()
    };
    testing::start_with(config).await
}

fn link(name: &str) -> Vec<AclLink> {
    vec![AclLink { id: String::new(), name: name.to_owned() }]
}

async fn policy(server: &Server, name: &str, rules: &str) -> Arc<AclPolicy> {
    let old = server.view().policy_by_name(name).1;
    let wanted = AclPolicy {
        id: old.map(|old| old.id.clone()).unwrap_or_default(),
        name: name.to_owned(),
        rules: rules.to_owned(),
        ..AclPolicy::default()
    };
    server.acl_policy_set("root", wanted).await.unwrap()
}

async fn token(server: &Server, token: AclToken) -> Arc<AclToken> {
    let request = TokenRequest { token, create: true, ..TokenRequest::default() };
    server.acl_token_set("root", request).await.unwrap()
}

fn rights(server: &Server, token: &AclToken) -> Arc<Authorizer> {
    server.authorizer(&token.secret_id).unwrap()
}

#[tokio::test]
async fn rights_follow_the_policies_and_are_shared_until_they_change() {
    let server = closed().await;
    policy(&server, "p", "key_prefix \"a\" { policy = \"read\" }").await;
    let role = AclRole { name: "r".to_owned(), policies: link("p"), ..AclRole::default() };
    server.acl_role_set("root", role).await.unwrap();
    let one = token(&server, AclToken { policies: link("p"), ..AclToken::default() }).await;
    let two = token(&server, AclToken { roles: link("r"), ..AclToken::default() }).await;
    let first = rights(&server, &one);
    assert!(first.key_read("a1") && !first.key_read("b") && !first.acl_read());
    assert!(Arc::ptr_eq(&first, &rights(&server, &two)), "the same policies, the same rights");
    policy(&server, "unrelated", "").await;
    assert!(Arc::ptr_eq(&first, &rights(&server, &one)), "another policy changes nothing");
    policy(&server, "p", "key_prefix \"b\" { policy = \"read\" }").await;
    for token in [&one, &two] {
        assert!(!rights(&server, token).key_read("a1") && rights(&server, token).key_read("b"));
    }
    // A policy of another datacenter does not count here.
    let elsewhere = AclPolicy {
        name: "elsewhere".to_owned(),
        rules: "operator = \"read\"".to_owned(),
        datacenters: vec!["dc9".to_owned()],
        ..AclPolicy::default()
    };
    server.acl_policy_set("root", elsewhere).await.unwrap();
    let far = token(&server, AclToken { policies: link("elsewhere"), ..AclToken::default() }).await;
    assert!(!rights(&server, &far).operator_read());
    server.acl_token_delete("root", &one.accessor_id).await.unwrap();
    assert_eq!(server.authorizer(&one.secret_id).unwrap_err(), EndpointError::acl_not_found());
    server.shutdown().await;
}

#[tokio::test]
async fn a_token_that_ended_is_not_found_and_goes() {
    let server = closed().await;
    let ends = |end: Timestamp, secret: &str| AclToken {
        accessor_id: uuid::Uuid::new_v4().to_string(),
        secret_id: secret.to_owned(),
        kind: MANAGEMENT.to_owned(),
        expiration_time: Some(end),
        ..AclToken::default()
    };
    let now = clock::now().0;
    let (past, later) = (Timestamp(now - 1), Timestamp(now + 3_600_000_000_000));
    for token in [ends(past, "over"), ends(later, "lasting")] {
        server.acl_write(AclWrite::TokenSet(token)).await.unwrap();
    }
    assert!(server.authorizer("lasting").unwrap().allows_everything());
    assert_eq!(server.authorizer("over").unwrap_err(), EndpointError::acl_not_found());
    server.reap_tokens().await;
    assert!(server.view().token_by_secret("over").1.is_none());
    assert!(server.view().token_by_secret("lasting").1.is_some());
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_built_in_is_there_and_stays() {
    let server = closed().await;
    let options = QueryOptions { token: "root".to_owned(), ..QueryOptions::default() };
    let tokens = server.acl_token_list(&options, Default::default()).await.unwrap();
    let mut names: Vec<_> =
        tokens.result.value.iter().map(|token| token.description.clone()).collect();
    names.sort();
    assert_eq!(names, ["Anonymous Token", "Master Token"]);
    server.establish_access_control().await.unwrap();
    let again = server.acl_token_list(&options, Default::default()).await.unwrap();
    assert_eq!(again.result.value, tokens.result.value, "nothing is made twice");
    let text = |error: EndpointError| error.text;
    let anonymous = lictor_types::acl::ANONYMOUS_ACCESSOR;
    let error = server.acl_token_delete("root", anonymous).await.unwrap_err();
    assert_eq!(text(error), "Delete operation not permitted on the anonymous token");
    let all = lictor_types::acl::GLOBAL_MANAGEMENT_ID;
    let error = server.acl_policy_delete("root", all).await.unwrap_err();
    assert_eq!(
        text(error),
        "Delete operation not permitted on the builtin global-management policy"
    );
    let changed = AclPolicy {
        id: all.to_owned(),
        name: "global-management".to_owned(),
        ..AclPolicy::default()
    };
    let error = server.acl_policy_set("root", changed).await.unwrap_err();
    assert!(text(error).starts_with("Changing the Rules for the builtin"));
    let error = server.acl_bootstrap().await.unwrap_err();
    assert!(text(error).contains("ACL bootstrap no longer allowed (reset index: "));
    server.shutdown().await;
}

#[tokio::test]
async fn tokens_of_1_2_are_tokens_like_others() {
    let server = closed().await;
    let acl = |id: &str, kind: &str, rules: &str| LegacyAcl {
        id: id.to_owned(),
        kind: kind.to_owned(),
        rules: rules.to_owned(),
        ..LegacyAcl::default()
    };
    let rules = "key \"a\" { policy = \"write\" }";
    let secret = server.acl_legacy_set("root", acl("", CLIENT, rules)).await.unwrap();
    let who = server.authorizer(&secret).unwrap();
    assert!(who.key_write("ab") && !who.key_read("b"));
    server.acl_legacy_set("root", acl("boss", MANAGEMENT, "")).await.unwrap();
    assert!(server.authorizer("boss").unwrap().acl_write());
    server.acl_legacy_set("root", acl("anonymous", CLIENT, rules)).await.unwrap();
    assert!(server.authorizer("").unwrap().key_write("a"));
    for (wanted, why) in [
        (acl("x", "bogus", ""), "Invalid ACL Type"),
        (acl("root", CLIENT, ""), "Cannot use legacy endpoint to modify a non-legacy token"),
        (acl("manage", CLIENT, ""), "Permission denied: Cannot modify root ACL"),
    ] {
        assert_eq!(server.acl_legacy_set("root", wanted).await.unwrap_err().text, why);
    }
    let bad = server.acl_legacy_set("root", acl("x", CLIENT, "key {")).await.unwrap_err();
    assert!(bad.text.starts_with("ACL rule compilation failed: "), "{bad}");
    server.acl_legacy_destroy("root", &secret).await.unwrap();
    assert!(server.authorizer(&secret).is_err());
    for root in ["allow", "deny", "manage"] {
        let error = server.authorizer(root).unwrap_err();
        assert_eq!(error.text, "Permission denied: Cannot resolve root ACL");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn what_may_be_said_of_a_token() {
    let server = closed().await;
    let first =
        token(&server, AclToken { policies: link("global-management"), ..AclToken::default() })
            .await;
    let set = async |token: AclToken, ttl: i64, create: bool| {
        let request = TokenRequest { token, expiration_ttl: ttl, create };
        server.acl_token_set("root", request).await.unwrap_err().text
    };
    let of = |accessor: &str, secret: &str| AclToken {
        accessor_id: accessor.to_owned(),
        secret_id: secret.to_owned(),
        ..AclToken::default()
    };
    let second = 1_000_000_000;
    let day = "ExpirationTime cannot be more than 24h0m0s in the future (was 25h0m0s)";
    assert_eq!(set(of("", ""), 25 * 3600 * second, true).await, day);
    let short = "ExpirationTime cannot be less than 1m0s in the future (was 5s)";
    assert_eq!(set(of("", ""), 5 * second, true).await, short);
    let taken = set(of(&first.accessor_id.to_uppercase(), ""), 0, true).await;
    assert_eq!(taken, "Invalid Token: AccessorID is already in use");
    assert_eq!(
        set(of("", &first.accessor_id), 0, true).await,
        "Invalid Token: SecretID is already in use"
    );
    assert_eq!(set(of("", "short"), 0, true).await, "Invalid Token: SecretID is not a valid UUID");
    let reserved = set(of("00000000-0000-0000-0000-000000000009", ""), 0, true).await;
    assert!(reserved.contains("are reserved"), "{reserved}");
    let id = &first.accessor_id;
    assert_eq!(set(of(id, "x"), 0, false).await, "Changing a tokens SecretID is not permitted");
    let local = AclToken { local: true, ..of(id, "") };
    assert_eq!(set(local, 0, false).await, format!("cannot toggle local mode of {id}"));
    assert_eq!(set(of(id, ""), 9, false).await, format!("Cannot change expiration time of {id}"));
    let rules = AclToken { rules: "x".to_owned(), ..of(id, "") };
    assert_eq!(set(rules, 0, false).await, "Rules cannot be specified for this token");
    let error = server.acl_token_delete(&first.secret_id, id).await.unwrap_err();
    assert_eq!(error.text, "Deletion of the request's authorization token is not permitted");
    server.shutdown().await;
}

#[tokio::test]
async fn agents_of_version_1_2_get_rules() {
    let server = closed().await;
    let options = QueryOptions::default();
    let of = async |secret: &str| server.acl_legacy_policy(&options, secret).await;
    assert_eq!(of("root").await.unwrap().parent, "manage");
    assert_eq!(of("").await.unwrap().parent, "deny");
    assert_eq!(of("").await.unwrap().rules.rules, []);
    for unknown in ["nobody", "manage"] {
        assert_eq!(of(unknown).await.unwrap_err(), EndpointError::acl_not_found());
    }
    policy(&server, "p", "service \"web\" { policy = \"write\" }").await;
    let bearer = token(&server, AclToken { policies: link("p"), ..AclToken::default() }).await;
    let first = of(&bearer.secret_id).await.unwrap();
    assert_eq!((first.parent, first.rules.rules.len()), ("deny", 1));
    assert!(first.rules.rules[0].prefix, "1.2 has no other names");
    assert_eq!(of(&bearer.secret_id).await.unwrap().id, first.id);
    policy(&server, "p", "service \"web\" { policy = \"read\" }").await;
    assert_ne!(of(&bearer.secret_id).await.unwrap().id, first.id, "the tag tells of the change");
    let legacy = LegacyAcl {
        kind: CLIENT.to_owned(),
        rules: "key \"a\" { policy = \"read\" }".to_owned(),
        ..LegacyAcl::default()
    };
    let secret = server.acl_legacy_set("root", legacy).await.unwrap();
    assert_eq!(of(&secret).await.unwrap().rules.rules[0].segment, "a");
    server.shutdown().await;
}

#[tokio::test]
async fn many_are_read_by_their_ids() {
    let server = closed().await;
    let p = policy(&server, "p", "acl = \"read\"").await;
    let role = AclRole { name: "r".to_owned(), policies: link("p"), ..AclRole::default() };
    let role = server.acl_role_set("root", role).await.unwrap();
    let reader = token(&server, AclToken { policies: link("p"), ..AclToken::default() }).await;
    let as_who = |secret: &str| QueryOptions { token: secret.to_owned(), ..Default::default() };
    let ids = |id: &str| [id.to_owned(), uuid::Uuid::new_v4().to_string()];
    let found = server.acl_policy_batch(&as_who("root"), &ids(&p.id)).await.unwrap();
    assert_eq!(found.result.value, [p]);
    let found = server.acl_role_batch(&as_who("root"), &ids(&role.id)).await.unwrap();
    assert_eq!(found.result.value, [role]);
    let accessor = ids(&reader.accessor_id);
    let found = server.acl_token_batch(&as_who("root"), &accessor).await.unwrap();
    assert_eq!(found.result.value, [Arc::clone(&reader)]);
    let found = server.acl_token_batch(&as_who(&reader.secret_id), &accessor).await.unwrap();
    assert_eq!(found.result.value[0].secret_id, "<hidden>");
    let refused = server.acl_token_batch(&as_who(""), &accessor).await.unwrap_err();
    assert_eq!(refused, EndpointError::permission_denied());
    server.shutdown().await;
}
