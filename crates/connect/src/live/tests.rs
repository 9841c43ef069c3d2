//! Admission, and what a change of the rules does to those who are in.

use std::future::poll_fn;
use std::time::Duration;

use tokio::sync::watch;

use super::*;
use crate::fixture::{Mesh, PolicySender, rule, snapshot, soon};

fn table() -> (LiveConnections, PolicySender) {
    let (sender, receiver) = watch::channel(Some(snapshot(1, Vec::new(), Action::Allow)));
    (LiveConnections::new(Policy::new(receiver)), sender)
}

fn peer(name: &str) -> Arc<PeerIdentity> {
    let id = Mesh::new().service(name);
    let uri = id.to_uri();
    let serial_number = "08".to_owned();
    Arc::new(PeerIdentity { id, uri, serial_number, not_after: 0, chain: Vec::new() })
}

async fn withdrawn(permit: &mut Permit) -> String {
    poll_fn(|cx| permit.poll_withdrawn(cx)).await
}

#[tokio::test]
async fn a_permit_is_a_row_of_the_table() {
    let (live, _sender) = table();
    let permit = live.admit(peer("web")).unwrap();
    let rows = live.list();
    assert_eq!((rows.len(), rows[0].version), (1, 1));
    assert_eq!(rows[0].peer.id.service, "web");
    drop(permit);
    assert!(live.is_empty());
}

#[tokio::test]
async fn the_refused_leave_no_row() {
    let (live, sender) = table();
    sender.send_replace(Some(snapshot(2, vec![rule("web", Action::Deny)], Action::Allow)));
    let decision = live.admit(peer("web")).unwrap_err();
    assert_eq!(decision.version, 2);
    assert!(live.is_empty());
    assert_eq!(live.cut_count(), 0);
}

#[tokio::test]
async fn a_change_ends_those_whom_it_forbids_and_nobody_else() {
    let (live, sender) = table();
    let mut web = [live.admit(peer("web")).unwrap(), live.admit(peer("web")).unwrap()];
    let mut api = live.admit(peer("api")).unwrap();
    sender.send_replace(Some(snapshot(5, vec![rule("web", Action::Deny)], Action::Allow)));
    assert_eq!(live.enforce(), 2);
    for permit in &mut web {
        let reason = soon(withdrawn(permit)).await;
        assert!(reason.starts_with("Matched intention: DENY default/web"), "{reason}");
    }
    assert!(poll_fn(|cx| Poll::Ready(api.poll_withdrawn(cx))).await.is_pending());
    assert_eq!((live.len(), live.cut_count(), live.enforced_version()), (1, 2, 5));
    assert_eq!(live.list()[0].version, 5);
}

#[tokio::test(start_paused = true)]
async fn the_policy_is_followed_to_the_end_of_its_lease() {
    let (live, sender) = table();
    let mut web = live.admit(peer("web")).unwrap();
    let mut api = live.admit(peer("api")).unwrap();
    let set = lictor_task::TaskSet::new("test");
    let followed = live.clone();
    set.spawn_cut("follow", async move { followed.follow_policy().await });
    sender.send_replace(Some(snapshot(2, vec![rule("web", Action::Deny)], Action::Allow)));
    soon(withdrawn(&mut web)).await;
    let ended = tokio::time::timeout(Duration::from_secs(3590), withdrawn(&mut api)).await;
    assert!(ended.is_err(), "the lease is not over");
    let reason = soon(withdrawn(&mut api)).await;
    assert_eq!(reason, "the known intentions are older than their lease");
    let _ = set.shutdown(Duration::from_secs(1)).await;
}
