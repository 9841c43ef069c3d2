//! Two datacenters, each a server in memory, and the rotation of the root above both.

use lictor_pki::{Purpose, ServiceId, TrustBundle, verify::verify_peer};
use lictor_types::ca::CaChange;
use lictor_types::query::QueryOptions;
use serde_json::json;

use super::*;
use crate::config::Primary;
use crate::testing;

async fn secondary() -> Server {
    let mut config = testing::config();
    config.datacenter = "dc2".into();
    config.primary = Some(Primary { datacenter: "dc1".into(), tokens: false, mesh: true });
    let server = Server::start(config).await.unwrap();
    server.wait_for_leadership().await.unwrap();
    server
}

async fn roots(server: &Server) -> CaRoots {
    server.ca_roots(&QueryOptions::default()).await.unwrap().result.value.clone()
}

/// What a leader of dc2 does with the roots of dc1; whether something was signed.
async fn follow(dc2: &Server, dc1: &Server) -> bool {
    let there = roots(dc1).await;
    let Some(request) = dc2.below_roots(&there).await.unwrap() else { return false };
    let signed = dc1.ca_sign_intermediate("", request.csr()).await.unwrap();
    dc2.adopt_intermediate(&there, request, &signed).await.unwrap();
    true
}

async fn leaf(server: &Server, datacenter: &str) -> String {
    let domain = TrustDomain::new(&roots(server).await.trust_domain).unwrap();
    let id = ServiceId::new(domain, datacenter, "web");
    let request = csr::make(&id, &PrivateKey::generate().unwrap()).unwrap();
    server.ca_sign("", &request).await.unwrap().cert_pem
}

fn accepts(trusted: &CaRoots, leaf: &str) -> bool {
    let domain = TrustDomain::new(&trusted.trust_domain).unwrap();
    let bundle = TrustBundle::new(domain, trusted.roots.iter().map(|root| &*root.root_cert));
    let chain = Certificate::chain_from_pem(leaf).unwrap();
    let chain: Vec<_> = chain.iter().map(|one| one.der().to_vec().into()).collect();
    let now = clock::now_seconds();
    verify_peer(&bundle.unwrap(), &chain, Purpose::Client, now).is_ok()
}

async fn rotate(server: &Server) {
    let key = PrivateKey::generate().unwrap().to_pem().to_string();
    let config = json!({"PrivateKey": key});
    let serde_json::Value::Object(config) = config else { panic!() };
    server.ca_set_config("", CaChange::new("consul", config)).await.unwrap();
}

#[tokio::test]
async fn both_datacenters_accept_each_other_before_during_and_after_a_rotation() {
    let (dc1, dc2) = (testing::start().await, secondary().await);
    assert!(follow(&dc2, &dc1).await);
    assert!(!follow(&dc2, &dc1).await, "once is enough");
    let (old1, old2) = (roots(&dc1).await, roots(&dc2).await);
    assert_eq!(
        (&old1.trust_domain, &old1.active_root_id),
        (&old2.trust_domain, &old2.active_root_id)
    );
    let (leaf1, leaf2) = (leaf(&dc1, "dc1").await, leaf(&dc2, "dc2").await);
    for trusted in [&old1, &old2] {
        assert!(accepts(trusted, &leaf1) && accepts(trusted, &leaf2));
    }
    // The root changes, and dc2 does not know it yet; then it does.
    rotate(&dc1).await;
    let (new1, next1) = (roots(&dc1).await, leaf(&dc1, "dc1").await);
    assert_ne!(new1.active_root_id, old1.active_root_id);
    assert!(accepts(&old2, &next1) && accepts(&new1, &leaf2));
    assert!(accepts(&new1, &leaf(&dc2, "dc2").await), "it signs on");
    assert!(follow(&dc2, &dc1).await);
    let (new2, next2) = (roots(&dc2).await, leaf(&dc2, "dc2").await);
    assert_eq!((&new2.active_root_id, new2.roots.len()), (&new1.active_root_id, 2));
    for trusted in [&old1, &old2, &new1, &new2] {
        for leaf in [&leaf1, &leaf2, &next1, &next2] {
            assert!(accepts(trusted, leaf));
        }
    }
    assert!(!follow(&dc2, &dc1).await);
    dc1.shutdown().await;
    dc2.shutdown().await;
}

#[tokio::test]
async fn whoever_leads_next_signs_on_without_the_primary() {
    let (dc1, dc2) = (testing::start().await, secondary().await);
    assert!(follow(&dc2, &dc1).await);
    let trusted = roots(&dc1).await;
    dc1.shutdown().await;
    dc2.authority().dismiss();
    dc2.establish_authority().await.unwrap();
    assert!(accepts(&trusted, &leaf(&dc2, "dc2").await));
    // Its settings can be changed, but not its root.
    let set = |config: serde_json::Value| {
        let serde_json::Value::Object(config) = config else { panic!() };
        dc2.ca_set_config("", CaChange::new("consul", config))
    };
    set(json!({"LeafCertTTL": "1h"})).await.unwrap();
    let chain = Certificate::chain_from_pem(&leaf(&dc2, "dc2").await).unwrap();
    assert_eq!((chain.len(), chain[0].not_after() - chain[0].not_before()), (2, 3600));
    let key = PrivateKey::generate().unwrap().to_pem().to_string();
    let error = set(json!({"PrivateKey": key})).await.unwrap_err();
    assert!(error.text.contains("change it there"), "{error}");
    dc2.shutdown().await;
}

#[tokio::test]
async fn what_was_not_asked_for_is_not_taken() {
    let (dc1, dc2, stranger) = (testing::start().await, secondary().await, testing::start().await);
    let there = roots(&dc1).await;
    let request = dc2.below_roots(&there).await.unwrap().unwrap();
    let other = dc2.below_roots(&there).await.unwrap().unwrap();
    let signed = dc1.ca_sign_intermediate("", other.csr()).await.unwrap();
    let error = dc2.adopt_intermediate(&there, request, &signed).await.unwrap_err();
    assert!(error.text.contains("cannot be used"), "{error}");
    let request = dc2.below_roots(&there).await.unwrap().unwrap();
    assert!(stranger.ca_sign_intermediate("", request.csr()).await.is_err(), "another domain");
    assert!(dc2.ca_sign_intermediate("", request.csr()).await.is_err(), "not the primary");
    let leaf = leaf(&dc1, "dc1").await;
    assert!(dc2.adopt_intermediate(&there, request, &leaf).await.is_err());
    let nothing = CaRoots::default();
    assert!(dc2.below_roots(&nothing).await.is_err());
    assert!(dc2.view().ca_roots().1.is_empty() && dc2.view().ca_config().1.is_none());
    for server in [dc1, dc2, stranger] {
        server.shutdown().await;
    }
}

#[tokio::test]
async fn a_datacenter_with_a_root_of_its_own_comes_below_the_primary() {
    let (dc1, dc2) = (testing::start().await, secondary().await);
    dc2.rule_own_mesh().await.unwrap();
    let own = roots(&dc2).await;
    assert_ne!(own.trust_domain, roots(&dc1).await.trust_domain);
    dc2.authority().dismiss();
    dc2.establish_authority().await.unwrap();
    assert_eq!(roots(&dc2).await, own);
    assert!(follow(&dc2, &dc1).await);
    let now = roots(&dc2).await;
    assert_eq!(now.active_root_id, roots(&dc1).await.active_root_id);
    assert!(now.roots.iter().any(|root| root.id == own.active_root_id && !root.active));
    assert!(accepts(&roots(&dc1).await, &leaf(&dc2, "dc2").await));
    dc1.shutdown().await;
    dc2.shutdown().await;
}

#[test]
fn half_of_a_life() {
    let root = Root::generate(&TrustDomain::new("a.consul").unwrap(), 1, 1_800_000_000).unwrap();
    let certificate = root.certificate();
    let half = lictor_pki::authority::ROOT_TTL / 2;
    assert!(!is_half_over(certificate, certificate.not_before() + half - 1));
    assert!(is_half_over(certificate, certificate.not_before() + half));
}
