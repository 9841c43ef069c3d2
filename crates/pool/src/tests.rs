//! Pools on loopback.

use std::time::Duration;

use lictor_gossip::serf::{Status, message::EventMessage};
use lictor_gossip::tags::Tags;

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn config(name: &str, keyring: &Keyring) -> PoolConfig {
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    let tags = Tags::from([("role".into(), "node".into()), ("dc".into(), "dc1".into())]);
    // A tenth of the times of a datacenter, so that tests are as quick.
    let mut swim = swim::Config::lan(name, bind);
    swim.probe_interval /= 10;
    swim.probe_timeout /= 10;
    swim.gossip_interval /= 10;
    swim.push_pull_interval /= 10;
    PoolConfig {
        name: "lan",
        bind,
        swim,
        serf: serf::Config::new(tags),
        keyring: keyring.clone(),
        snapshot: None,
        rejoin_after_leave: false,
        metrics: Metrics::default(),
    }
}

async fn until(pool: &Pool, what: &str, done: impl Fn(&[Member]) -> bool) {
    let wait = async {
        let mut events = pool.subscribe();
        while !done(&pool.members().await) {
            let _ = tokio::time::timeout(Duration::from_millis(50), events.recv()).await;
        }
    };
    assert!(tokio::time::timeout(SOON, wait).await.is_ok(), "not in {SOON:?}: {what}");
}

fn with_status(members: &[Member], status: Status) -> usize {
    members.iter().filter(|member| member.status == status).count()
}

#[tokio::test]
async fn agents_find_each_other_talk_and_leave() {
    let tasks = TaskSet::new("test");
    let (one_tasks, key) = (TaskSet::new("one"), Keyring::new([&[7_u8; 32][..]]).unwrap());
    let one = Pool::start(config("one", &key), &one_tasks).await.unwrap();
    let two = Pool::start(config("two", &key), &tasks).await.unwrap();
    let three = Pool::start(config("three", &key), &tasks).await.unwrap();
    two.join(one.address()).await.unwrap();
    three.join(two.address()).await.unwrap();
    for pool in [&one, &two, &three] {
        until(pool, "three members", |all| with_status(all, Status::Alive) == 3).await;
    }
    let mut heard = three.subscribe();
    one.with(|serf, _| serf.user_event("consul:event:x", b"payload", false))
        .await
        .unwrap()
        .unwrap();
    let event = tokio::time::timeout(SOON, async {
        loop {
            if let Event::User { name, payload, .. } = &*heard.recv().await.unwrap() {
                return (name.clone(), payload.clone());
            }
        }
    });
    assert_eq!(event.await.unwrap(), ("consul:event:x".to_owned(), b"payload".to_vec()));
    one.leave().await;
    one_tasks.shutdown(SOON).await;
    assert_eq!(one.with(|_, _| ()).await, None, "it has ended");
    for pool in [&two, &three] {
        until(pool, "one has left", |all| with_status(all, Status::Left) == 1).await;
    }
    let ended = tasks.shutdown(SOON).await;
    assert_eq!((ended.aborted, ended.panics), (0, 0));
}

#[tokio::test]
async fn a_crash_is_noticed_and_a_restart_finds_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serf/local.snapshot");
    let tasks = TaskSet::new("test");
    let plain = Keyring::default();
    let one = Pool::start(config("one", &plain), &tasks).await.unwrap();
    let remembering =
        |name: &str| PoolConfig { snapshot: Some(path.clone()), ..config(name, &plain) };
    let first = TaskSet::new("first");
    let two = Pool::start(remembering("two"), &first).await.unwrap();
    two.join(one.address()).await.unwrap();
    until(&one, "two members", |all| with_status(all, Status::Alive) == 2).await;
    // Its file knows the other one by now, since it was there before it was asked.
    first.shutdown(SOON).await;
    until(&one, "two has failed", |all| with_status(all, Status::Failed) == 1).await;
    let second = TaskSet::new("second");
    let again = Pool::start(remembering("three"), &second).await.unwrap();
    until(&again, "the first", |all| with_status(all, Status::Alive) == 2).await;
    until(&one, "the new one", |all| with_status(all, Status::Alive) == 2).await;
    second.shutdown(SOON).await;
    tasks.shutdown(SOON).await;
}

#[tokio::test]
async fn nobody_joins_with_another_key_or_none() {
    let tasks = TaskSet::new("test");
    let key = |byte: u8| Keyring::new([&[byte; 16][..]]).unwrap();
    let one = Pool::start(config("one", &key(1)), &tasks).await.unwrap();
    let other = Pool::start(config("other", &key(2)), &tasks).await.unwrap();
    let plain = Pool::start(config("plain", &Keyring::default()), &tasks).await.unwrap();
    let refused = other.join(one.address()).await.unwrap_err();
    assert!(refused.contains("could decrypt"), "{refused}");
    let refused = plain.join(one.address()).await.unwrap_err();
    assert!(refused.contains("ncryption is"), "{refused}");
    let refused = plain.join(SocketAddr::from(([127, 0, 0, 1], 1))).await.unwrap_err();
    assert!(refused.contains("refused"), "{refused}");
    assert_eq!(one.members().await.len(), 1);
    tasks.shutdown(SOON).await;
}

#[tokio::test]
async fn nonsense_on_its_sockets_does_no_harm() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let tasks = TaskSet::new("test");
    let one = Pool::start(config("one", &Keyring::default()), &tasks).await.unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let user = EventMessage::KeyRequest(vec![1]).encode();
    for packet in [&b""[..], b"\x07\xff", b"\xf4\x01x", &[9; 1000], &[&[8][..], &user].concat()] {
        udp.send_to(packet, one.address()).await.unwrap();
    }
    for (bytes, answered) in
        [(&b"\x06\x83"[..], false), (b"\x63", true), (&[10, 0xff, 0xff, 0xff, 0xff], true)]
    {
        let mut stream = tokio::net::TcpStream::connect(one.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(!answer.is_empty(), answered, "{bytes:?}: {answer:?}");
    }
    assert_eq!(one.members().await.len(), 1);
    let ended = tasks.shutdown(SOON).await;
    assert_eq!((ended.aborted, ended.panics), (0, 0));
}
