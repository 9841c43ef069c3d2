//! What the copy path of the proxy does: bytes from an application through two proxies to another
//! (real sockets, real TLS), there and back again, and single records without any socket.
//!
//! Absent on purpose: handshakes, which are benched where the identities are.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use divan::counter::BytesCount;
use lictor_connect::fuzzing::{Found, Link, PLAINTEXT_MAX, RECORD_HEADER, WIRE_RECORD_MAX};
use lictor_connect::policy::{Action, Policy, PolicySnapshot, Rules};
use lictor_connect::{
    Acceptor, Dialer, Endpoint, ExpectedService, LiveConnections, LocalIdentity, Traffic, relay,
};
use lictor_pki::{
    Csr, ExpectedPeer, Identity, PrivateKey, Root, ServiceId, TrustBundle, TrustDomain, csr, tls,
};
use tokio::sync::watch;

/// Bytes of one round of the bulk benches.
const BULK: usize = 64 << 20;

fn main() {
    divan::main();
}

struct Mesh {
    domain: TrustDomain,
    root: Root,
    now: i64,
}

impl Mesh {
    fn new() -> Self {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let now = i64::try_from(elapsed.as_secs()).expect("a small number");
        let domain = TrustDomain::new("11111111-2222-3333-4444-555555555555.consul").expect("good");
        let root = Root::generate(&domain, 7, now).expect("a root");
        Self { domain, root, now }
    }

    fn bundle(&self) -> TrustBundle {
        TrustBundle::new(self.domain.clone(), [self.root.cert_pem()]).expect("a bundle")
    }

    fn identity(&self, service: &str) -> Identity {
        let id = ServiceId::new(self.domain.clone(), "dc1", service);
        let key = PrivateKey::generate().expect("a key");
        let csr = Csr::from_pem(&csr::make(&id, &key).expect("a request")).expect("a good one");
        let leaf = self.root.sign_leaf(&csr, &id, 3600, self.now).expect("a leaf");
        Identity::from_pem(&leaf.cert_pem, &key.to_pem()).expect("an identity")
    }

    fn local(&self, service: &str) -> watch::Receiver<Option<Arc<LocalIdentity>>> {
        let identity = LocalIdentity::new(self.identity(service), self.bundle());
        watch::channel(Some(Arc::new(identity.expect("they fit")))).1
    }

    fn link(&self) -> Link {
        let (web, db) = (self.identity("web"), self.identity("db"));
        let expected = ExpectedPeer(db.id().expect("an id").clone());
        let client = tls::client_config(&web, &self.bundle(), expected).expect("a client");
        let server = tls::server_config(&db, &self.bundle()).expect("a server");
        Link::new(client, server).expect("a handshake")
    }
}

/// A proxy with one connection, on a thread of its own.
fn proxy(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(work);
    })
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

/// The runtime's socket of one of the system.
fn adopt(socket: TcpStream) -> tokio::net::TcpStream {
    socket.set_nonblocking(true).expect("a socket option");
    socket.set_nodelay(true).expect("a socket option");
    tokio::net::TcpStream::from_std(socket).expect("inside a runtime")
}

/// Two applications with a proxy each between them.
struct Path {
    near: TcpStream,
    far: TcpStream,
    proxies: [JoinHandle<()>; 2],
}

impl Path {
    fn new() -> Self {
        let mesh = Mesh::new();
        let (applications, application_port) = listener();
        let (public, public_port) = listener();
        let (upstream, upstream_port) = listener();
        let (dialer, identity) = (Dialer::new(mesh.local("web")), mesh.local("db"));
        let server = proxy(async move {
            let valid_until = tokio::time::Instant::now() + Duration::from_secs(3600);
            let rules = Arc::new(Rules::new(Vec::new(), Action::Allow));
            let rules = PolicySnapshot { version: 1, rules, valid_until };
            let (_rules, policy) = watch::channel(Some(rules));
            let acceptor = Acceptor::new(identity, LiveConnections::new(Policy::new(policy)));
            let caller = adopt(public.accept().expect("a caller").0);
            let mesh = acceptor.accept(caller).await.expect("admitted");
            let local = TcpStream::connect((Ipv4Addr::LOCALHOST, application_port));
            relay(mesh, adopt(local.expect("it listens")), &Traffic::default()).await.expect("end");
        });
        let client = proxy(async move {
            let local = adopt(upstream.accept().expect("an application").0);
            let expected = ExpectedService::new("dc1", "db");
            let endpoint = Endpoint { host: "127.0.0.1".into(), port: public_port, expected };
            let mesh = dialer.dial(&endpoint).await.expect("reached");
            relay(mesh, local, &Traffic::default()).await.expect("end");
        });
        let near = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream_port)).expect("it listens");
        let (far, _) = applications.accept().expect("the proxy calls");
        near.set_nodelay(true).expect("a socket option");
        far.set_nodelay(true).expect("a socket option");
        Self { near, far, proxies: [server, client] }
    }

    fn end(self) {
        drop((self.near, self.far));
        for proxy in self.proxies {
            proxy.join().expect("no panic");
        }
    }
}

/// Writes so much on one thread and reads it on this one.
fn pour(from: &TcpStream, into: &TcpStream, mut left: usize, piece: usize) {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut from, bytes) = (from, vec![7; piece]);
            let mut left = left;
            while left > 0 {
                let count = left.min(piece);
                from.write_all(&bytes[..count]).expect("sent");
                left -= count;
            }
        });
        let (mut into, mut buffer) = (into, vec![0; 256 << 10]);
        while left > 0 {
            left -= into.read(&mut buffer).expect("received");
        }
    });
}

#[divan::bench(args = [4 << 10, 64 << 10], sample_count = 10, sample_size = 1)]
fn bulk_to_the_service(bencher: divan::Bencher<'_, '_>, piece: usize) {
    let path = Path::new();
    let bencher = bencher.counter(BytesCount::new(BULK));
    bencher.bench_local(|| pour(&path.near, &path.far, BULK, piece));
    path.end();
}

#[divan::bench(args = [64 << 10], sample_count = 10, sample_size = 1)]
fn bulk_from_the_service(bencher: divan::Bencher<'_, '_>, piece: usize) {
    let path = Path::new();
    let bencher = bencher.counter(BytesCount::new(BULK));
    bencher.bench_local(|| pour(&path.far, &path.near, BULK, piece));
    path.end();
}

/// What the machine does without proxies, to compare with.
#[divan::bench(args = [64 << 10], sample_count = 10, sample_size = 1)]
fn bulk_without_proxies(bencher: divan::Bencher<'_, '_>, piece: usize) {
    let (listener, port) = listener();
    let near = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    let (far, _) = listener.accept().expect("a caller");
    let bencher = bencher.counter(BytesCount::new(BULK));
    bencher.bench_local(|| pour(&near, &far, BULK, piece));
}

fn ping_pong(mut near: &TcpStream, mut far: &TcpStream, buffer: &mut [u8]) {
    near.write_all(buffer).expect("sent");
    far.read_exact(buffer).expect("received");
    far.write_all(buffer).expect("sent");
    near.read_exact(buffer).expect("received");
}

#[divan::bench(args = [1, 1024])]
fn there_and_back(bencher: divan::Bencher<'_, '_>, size: usize) {
    let path = Path::new();
    let mut buffer = vec![7; size];
    bencher.bench_local(|| ping_pong(&path.near, &path.far, &mut buffer));
    path.end();
}

#[divan::bench(args = [1])]
fn there_and_back_without_proxies(bencher: divan::Bencher<'_, '_>, size: usize) {
    let (listener, port) = listener();
    let near = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    let (far, _) = listener.accept().expect("a caller");
    for stream in [&near, &far] {
        stream.set_nodelay(true).expect("a socket option");
    }
    let mut buffer = vec![7; size];
    bencher.bench_local(|| ping_pong(&near, &far, &mut buffer));
}

#[divan::bench(args = [64, 1400, PLAINTEXT_MAX])]
fn seal(bencher: divan::Bencher<'_, '_>, size: usize) {
    let mut link = Mesh::new().link();
    let mut slot = vec![7; WIRE_RECORD_MAX];
    bencher
        .counter(BytesCount::new(size))
        .bench_local(|| link.seal(&mut slot, size).expect("sealed"));
}

/// Sealing is part of it: a record can be opened once only.
#[divan::bench(args = [64, 1400, PLAINTEXT_MAX])]
fn seal_and_open(bencher: divan::Bencher<'_, '_>, size: usize) {
    let mut link = Mesh::new().link();
    let mut slot = vec![7; WIRE_RECORD_MAX];
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        let wire = link.seal(&mut slot, size).expect("sealed");
        let found = link.open(&mut slot[..wire]).expect("opened");
        assert_eq!(found, Found::Record(wire, RECORD_HEADER..RECORD_HEADER + size));
    });
}
