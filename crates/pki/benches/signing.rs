//! How fast the authority is: keys, requests, leaves and cross-signed certificates per second.
//!
//! Absent on purpose: storage and the network, which the leader adds to each of them.

use lictor_pki::{Csr, PrivateKey, Root, ServiceId, TrustDomain, authority, csr};

const NOW: i64 = 1_800_000_000;

fn main() {
    divan::main();
}

fn domain() -> TrustDomain {
    TrustDomain::new("11111111-2222-3333-4444-555555555555.consul").expect("a good domain")
}

fn web() -> ServiceId {
    ServiceId::new(domain(), "dc1", "web")
}

fn root(serial: u64) -> Root {
    Root::generate(&domain(), serial, NOW).expect("a root")
}

fn request() -> String {
    csr::make(&web(), &PrivateKey::generate().expect("a key")).expect("a request")
}

#[divan::bench]
fn generate_key(bencher: divan::Bencher<'_, '_>) {
    bencher.bench(PrivateKey::generate);
}

#[divan::bench]
fn make_request(bencher: divan::Bencher<'_, '_>) {
    let key = PrivateKey::generate().expect("a key");
    bencher.bench(|| csr::make(&web(), &key));
}

#[divan::bench]
fn read_request(bencher: divan::Bencher<'_, '_>) {
    let request = request();
    bencher.bench(|| Csr::from_pem(&request));
}

#[divan::bench]
fn sign_leaf(bencher: divan::Bencher<'_, '_>) {
    let root = root(7);
    let request = Csr::from_pem(&request()).expect("a good request");
    let id = web();
    bencher.bench(|| root.sign_leaf(&request, &id, authority::LEAF_TTL, NOW));
}

#[divan::bench]
fn cross_sign(bencher: divan::Bencher<'_, '_>) {
    let (old, new) = (root(7), root(8));
    bencher.bench(|| old.cross_sign(new.certificate(), NOW));
}
