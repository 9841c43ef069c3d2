//! How fast peers are verified and how many full handshakes one core does, both sides together.
//!
//! Absent on purpose: sockets and the data that follows a handshake.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lictor_pki::{
    Csr, ExpectedPeer, Identity, PrivateKey, Purpose, Root, ServiceId, TrustBundle, TrustDomain,
    authority, csr, tls, verify,
};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

fn main() {
    divan::main();
}

struct Mesh {
    bundle: TrustBundle,
    client: Identity,
    server: Identity,
    now: i64,
}

fn mesh(rotated: bool) -> Mesh {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let now = i64::try_from(elapsed.as_secs()).expect("a small number");
    let domain = TrustDomain::new("11111111-2222-3333-4444-555555555555.consul").expect("good");
    let old = Root::generate(&domain, 7, now).expect("a root");
    let (signing, intermediate) = if rotated {
        let new = Root::generate(&domain, 8, now).expect("a root");
        let cross = old.cross_sign(new.certificate(), now).expect("a certificate");
        (new, cross)
    } else {
        (old.clone(), String::new())
    };
    let identity = |service: &str| {
        let id = ServiceId::new(domain.clone(), "dc1", service);
        let key = PrivateKey::generate().expect("a key");
        let csr = Csr::from_pem(&csr::make(&id, &key).expect("a request")).expect("a good one");
        let leaf = signing.sign_leaf(&csr, &id, authority::LEAF_TTL, now).expect("a leaf");
        Identity::from_pem(&(leaf.cert_pem + &intermediate), &key.to_pem()).expect("an identity")
    };
    Mesh {
        client: identity("web"),
        server: identity("db"),
        bundle: TrustBundle::new(domain.clone(), [old.cert_pem()]).expect("a bundle"),
        now,
    }
}

fn configs(mesh: &Mesh) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let expected = ExpectedPeer(mesh.server.id().expect("an id").clone());
    let client = tls::client_config(&mesh.client, &mesh.bundle, expected).expect("a client");
    (client, tls::server_config(&mesh.server, &mesh.bundle).expect("a server"))
}

fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) {
    let mut client = ClientConnection::new(Arc::clone(client), tls::server_name()).expect("good");
    let mut server = ServerConnection::new(Arc::clone(server)).expect("good");
    let mut wire = Vec::with_capacity(8 << 10);
    while client.is_handshaking() || server.is_handshaking() {
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("memory");
            server.process_new_packets().expect("a good client");
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("memory");
            client.process_new_packets().expect("a good server");
        }
        wire.clear();
    }
}

#[divan::bench(args = [false, true])]
fn verify_peer(bencher: divan::Bencher<'_, '_>, rotated: bool) {
    let mesh = mesh(rotated);
    let chain = mesh.client.chain();
    bencher.bench(|| verify::verify_peer(&mesh.bundle, chain, Purpose::Client, mesh.now).is_ok());
}

#[divan::bench]
fn make_configs(bencher: divan::Bencher<'_, '_>) {
    let mesh = mesh(false);
    bencher.bench(|| configs(&mesh));
}

#[divan::bench(args = [false, true])]
fn full_handshake(bencher: divan::Bencher<'_, '_>, rotated: bool) {
    let (client, server) = configs(&mesh(rotated));
    bencher.bench(|| handshake(&client, &server));
}
