//! The record layer against a peer: without the keys it gets nothing through, with them it may
//! say anything and is heard as far as it keeps to the protocol.
#![no_main]

use std::cell::LazyCell;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lictor_connect::fuzzing::{Found, Link};
use lictor_pki::{
    Csr, ExpectedPeer, Identity, PrivateKey, Root, ServiceId, TrustBundle, TrustDomain, csr, tls,
};

fn link() -> Link {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let now = i64::try_from(now).expect("a small number");
    let domain = TrustDomain::new("11111111-2222-3333-4444-555555555555.consul").expect("good");
    let root = Root::generate(&domain, 7, now).expect("a root");
    let identity = |service: &str| {
        let id = ServiceId::new(domain.clone(), "dc1", service);
        let key = PrivateKey::generate().expect("a key");
        let csr = Csr::from_pem(&csr::make(&id, &key).expect("a request")).expect("a good one");
        let leaf = root.sign_leaf(&csr, &id, 3600, now).expect("a leaf");
        Identity::from_pem(&leaf.cert_pem, &key.to_pem()).expect("an identity")
    };
    let (web, db) = (identity("web"), identity("db"));
    let bundle = TrustBundle::new(domain, [root.cert_pem()]).expect("a bundle");
    let expected = ExpectedPeer(db.id().expect("an id").clone());
    let client = tls::client_config(&web, &bundle, expected).expect("a client");
    Link::new(Arc::clone(&client), tls::server_config(&db, &bundle).expect("a server"))
        .expect("a handshake")
}

thread_local! {
    /// Handshakes take most of the time, so a link is used until something breaks it.
    static LINK: LazyCell<std::cell::RefCell<Link>> = LazyCell::new(|| link().into());
}

/// `bytes` as records: a type, a length, a payload.
fn said(bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let (mut records, mut rest) = (Vec::new(), bytes);
    while let [kind, length, after @ ..] = rest {
        let (payload, after) = after.split_at(usize::from(*length).min(after.len()));
        records.push((*kind, payload));
        rest = after;
    }
    records
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((mode, bytes)) = bytes.split_first() else { return };
    LINK.with(|link| {
        let link = &mut *link.borrow_mut();
        let mut broken = false;
        if mode % 2 == 0 {
            let mut wire = bytes.to_vec();
            match link.open(&mut wire) {
                Ok(Found::Incomplete) => {}
                Ok(found) => panic!("taken without the keys: {found:?}"),
                Err(_) => broken = true,
            }
        } else {
            for (kind, payload) in said(bytes) {
                let mut wire = link.record(kind, payload).expect("short enough");
                match link.open(&mut wire) {
                    Ok(Found::Record(consumed, plain)) => {
                        assert_eq!(consumed, wire.len());
                        assert_eq!(&wire[plain], if kind == 23 { payload } else { &[] });
                    }
                    Ok(Found::Incomplete) => panic!("a whole record"),
                    Ok(Found::Closed) | Err(_) => {
                        broken = true;
                        break;
                    }
                }
            }
        }
        assert!(link.answer().len() < 1024);
        if broken {
            *link = self::link();
        }
    });
});
