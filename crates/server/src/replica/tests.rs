//! What is wanted, what goes, and what is taken over, on a server in memory.

use lictor_types::acl::AclLink;
use lictor_types::intention::Action;

use super::*;
use crate::config::Primary;
use crate::testing;

async fn secondary() -> Server {
    let mut config = testing::config();
    config.datacenter = "dc2".into();
    config.acl.enabled = true;
    config.ca = None;
    config.primary = Some(Primary { datacenter: "dc1".into(), tokens: true, mesh: true });
    let server = Server::start(config).await.unwrap();
    server.wait_for_leadership().await.unwrap();
    server
}

fn held<'a>(id: &'a str, hash: &'a [u8], modified: Index) -> Held<'a> {
    Held { id, hash, modified }
}

#[test]
fn rows_are_wanted_when_their_hash_is_another_or_without_one_when_they_changed() {
    let here = [held("a", b"1", 0), held("b", b"2", 0), held("c", b"3", 0), held("d", b"", 0)];
    let there = [held("a", b"1", 9), held("b", b"9", 1), held("d", b"", 7), held("e", b"", 1)];
    let found = Differences::between(here, there, 7);
    assert_eq!((found.gone, found.wanted), (vec!["c".into()], vec!["b".into(), "e".into()]));
    let found = Differences::between(here, there, 6);
    assert_eq!(found.wanted, ["b", "d", "e"]);
}

#[test]
fn large_changes_come_in_pieces_and_what_is_gone_goes_first() {
    let policy = |size| AclPolicy { rules: "x".repeat(size), ..AclPolicy::default() };
    let replica = AclReplica {
        tokens_gone: (0..300).map(|n| n.to_string()).collect(),
        policies: vec![policy(BYTES_MOST * 2), policy(10), policy(BYTES_MOST - 10), policy(1)],
        tokens: vec![AclToken::default(); ROWS_MOST + 1],
        ..AclReplica::default()
    };
    let pieces = pieces(replica);
    let shape: Vec<_> =
        pieces.iter().map(|p| (p.tokens_gone.len(), p.policies.len(), p.tokens.len())).collect();
    let expected = [(256, 0, 0), (44, 0, 0), (0, 1, 0), (0, 2, 0), (0, 1, 0), (0, 0, 256)];
    assert_eq!(shape[..6], expected);
    assert_eq!(shape[6..], [(0, 0, 1)]);
}

#[tokio::test]
async fn tokens_of_1_2_are_taken_over_by_their_secret() {
    let server = secondary().await;
    // Nothing is made here: all comes from there.
    assert!(!server.has_copied_tokens() && server.view().policies().1.is_empty());
    let acl = |id: &str, rules: &str| LegacyAcl {
        id: id.into(),
        kind: "client".into(),
        rules: rules.into(),
        ..LegacyAcl::default()
    };
    let all = vec![acl("anonymous", ""), acl("s", "key \"a\" { policy = \"write\" }")];
    let replica = server.legacy_tokens_unlike(all.clone());
    assert_eq!(replica.tokens.len(), 2);
    server.acl_replicate(replica).await.unwrap();
    assert!(server.has_copied_tokens());
    assert!(server.authorizer("s").unwrap().key_write("a"));
    assert_eq!(server.legacy_tokens_unlike(all), AclReplica::default());
    let accessor = server.view().token_by_secret("s").1.unwrap().accessor_id.clone();
    let replica = server.legacy_tokens_unlike(vec![acl("s", "")]);
    assert_eq!(replica.tokens_gone, ["anonymous"]);
    assert_eq!(replica.tokens[0].accessor_id, accessor);
    server.acl_replicate(replica).await.unwrap();
    assert!(!server.has_copied_tokens());
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_lent_holds_until_the_token_is_here() {
    let server = secondary().await;
    assert!(server.authorizer("s").is_err());
    let who = server.resolver().manage_all();
    server.lend("s", Some(&who));
    assert!(server.authorizer("s").unwrap().acl_write());
    let policy = AclPolicy { id: "p".into(), name: "p".into(), ..AclPolicy::default() };
    let token = AclToken {
        secret_id: "s".into(),
        accessor_id: "a".into(),
        policies: vec![AclLink { id: "p".into(), name: String::new() }],
        ..AclToken::default()
    };
    let replica =
        AclReplica { policies: vec![policy], tokens: vec![token], ..AclReplica::default() };
    server.acl_replicate(replica).await.unwrap();
    assert!(!server.authorizer("s").unwrap().acl_write());
    let gone = AclReplica { tokens_gone: vec!["s".into()], ..AclReplica::default() };
    server.acl_replicate(gone).await.unwrap();
    server.lend("s", None);
    assert!(server.authorizer("s").is_err());
    server.shutdown().await;
}

#[tokio::test]
async fn intentions_become_those_of_the_primary_and_those_without_an_id_keep_one() {
    let server = secondary().await;
    let intention = |id: &str, destination: &str, action| {
        Arc::new(Intention {
            id: id.into(),
            description: String::new(),
            source_ns: "default".into(),
            source_name: "web".into(),
            destination_ns: "default".into(),
            destination_name: destination.into(),
            source_type: "consul".into(),
            action,
            default_addr: String::new(),
            default_port: 0,
            meta: Default::default(),
            precedence: 0,
            created_at: clock::now(),
            updated_at: clock::now(),
            create_index: 0,
            modify_index: 0,
        })
    };
    let (one, other) =
        ("11111111-2222-3333-4444-555555555555", "21111111-2222-3333-4444-555555555555");
    let there = [intention(one, "db", Action::Allow), intention("", "cache", Action::Deny)];
    assert_eq!(server.intentions_replicate(&there).await.unwrap(), 2);
    assert_eq!(server.intentions_replicate(&there).await.unwrap(), 0);
    let cache = |server: &Server| {
        let all = server.view().intentions().1;
        all.iter().find(|one| one.destination_name == "cache").unwrap().id.clone()
    };
    let id = cache(&server);
    // The same pair has another ID now, and says the opposite.
    let there = [intention(other, "db", Action::Deny), intention("", "cache", Action::Allow)];
    assert_eq!(server.intentions_replicate(&there).await.unwrap(), 3);
    let all = server.view().intentions().1;
    assert_eq!((all.len(), cache(&server)), (2, id));
    let db = server.view().intention(other).1.unwrap();
    assert_eq!((db.action, server.view().intention(one).1), (Action::Deny, None));
    assert_eq!(server.intentions_replicate(&[]).await.unwrap(), 2);
    server.shutdown().await;
}
