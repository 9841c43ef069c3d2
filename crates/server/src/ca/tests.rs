//! The authority over its life: first root, signing, rotation, and another leader.

use lictor_pki::{Certificate, PrivateKey, ServiceId, csr};
use lictor_types::ca::CaChange;
use lictor_types::query::QueryOptions;
use serde_json::{Map, Value, json};

use super::*;
use crate::testing;

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("not an object") };
    map
}

async fn request(server: &Server, datacenter: &str, service: &str) -> String {
    let roots = server.ca_roots(&QueryOptions::default()).await.unwrap();
    let domain = TrustDomain::new(&roots.result.value.trust_domain).unwrap();
    let id = ServiceId::new(domain, datacenter, service);
    csr::make(&id, &PrivateKey::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn the_first_root_signs_leaves_of_this_datacenter_only() {
    let server = testing::start().await;
    let roots = server.ca_roots(&QueryOptions::default()).await.unwrap();
    let roots = &roots.result.value;
    assert_eq!(roots.roots.len(), 1);
    assert_eq!(roots.active_root_id, roots.roots[0].id);
    let leaf = server.ca_sign("", &request(&server, "dc1", "web").await).await.unwrap();
    let chain = Certificate::chain_from_pem(&leaf.cert_pem).unwrap();
    assert_eq!(chain.len(), 1);
    assert!(chain[0].uris()[0].ends_with("/ns/default/dc/dc1/svc/web"));
    let error = server.ca_sign("", &request(&server, "dc2", "web").await).await.unwrap_err();
    assert_eq!(error.text, "SPIFFE ID in CSR from a different datacenter: dc2, we are dc1");
    assert!(server.ca_sign("", "nonsense").await.is_err());
    server.shutdown().await;
}

#[tokio::test]
async fn without_the_mesh_there_are_no_roots_and_no_signatures() {
    let settings = crate::config::ServerConfig { ca: None, ..testing::config() };
    let server = Server::start(settings).await.unwrap();
    let roots = server.ca_roots(&QueryOptions::default()).await.unwrap_err();
    let config = server.ca_config(&QueryOptions::default()).await.unwrap_err();
    for error in [roots, config] {
        assert_eq!(error.text, "Connect must be enabled in order to use this endpoint");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_rotation_keeps_the_old_root_and_cross_signs_the_new() {
    let server = testing::start().await;
    let before = server.ca_roots(&QueryOptions::default()).await.unwrap().result;
    let key = PrivateKey::generate().unwrap().to_pem().to_string();
    let config = object(json!({"PrivateKey": key, "RootCertTTL": "96360h"}));
    server.ca_set_config("", CaChange::new("consul", config.clone())).await.unwrap();
    let after = server.ca_roots(&QueryOptions::default()).await.unwrap().result;
    assert!(after.index > before.index);
    let [old, new] = &after.value.roots[..] else { panic!("{:?}", after.value.roots) };
    let life = |root: &CaRoot| (root.not_after.0 - root.not_before.0) / 1_000_000_000;
    assert_eq!((life(old), life(new)), (87_600 * 3600, 96_360 * 3600));
    assert_eq!((&old.id, old.active, new.active), (&before.value.active_root_id, false, true));
    assert_eq!(after.value.active_root_id, new.id);
    assert_eq!(after.value.trust_domain, before.value.trust_domain);
    assert_eq!(new.intermediate_certs.len(), 1);

    let leaf = server.ca_sign("", &request(&server, "dc1", "web").await).await.unwrap();
    assert_eq!(Certificate::chain_from_pem(&leaf.cert_pem).unwrap().len(), 2);

    // The key is never shown, and what is shown can be given back.
    let shown = server.ca_config(&QueryOptions::default()).await.unwrap();
    assert_eq!(shown.result.value.config["PrivateKey"], "hidden");
    server
        .ca_set_config("", CaChange::new("consul", object(json!({"PrivateKey": "hidden"}))))
        .await
        .unwrap();
    let same = server.ca_roots(&QueryOptions::default()).await.unwrap().result;
    assert_eq!(same.index, after.index);
    // The former root's key is gone.
    assert!(server.view().ca_provider_state(",").is_none());
    server.shutdown().await;
}

#[tokio::test]
async fn the_active_root_is_kept_whatever_its_state_is_called() {
    let server = testing::start().await;
    let before = server.ca_roots(&QueryOptions::default()).await.unwrap().result;
    let own = server.view().ca_provider_state(",").unwrap();
    let other = CaProviderState { id: "of a later version".into(), ..(*own).clone() };
    for write in
        [CaWrite::SetProviderState(other), CaWrite::DeleteProviderState { id: own.id.clone() }]
    {
        server.propose(Command::Ca(Box::new(write))).await.unwrap();
    }
    server.authority().dismiss();
    server.establish_authority().await.unwrap();
    let after = server.ca_roots(&QueryOptions::default()).await.unwrap().result;
    assert_eq!(after.value.roots, before.value.roots);
    let leaf = server.ca_sign("", &request(&server, "dc1", "web").await).await.unwrap();
    assert_eq!(Certificate::chain_from_pem(&leaf.cert_pem).unwrap().len(), 1);
    // The key goes with its root.
    let key = PrivateKey::generate().unwrap().to_pem().to_string();
    let config = object(json!({"PrivateKey": key}));
    server.ca_set_config("", CaChange::new("consul", config)).await.unwrap();
    assert!(server.view().ca_provider_state("of a later version").is_none());
    server.shutdown().await;
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing() {
    let server = testing::start().await;
    let before = server.view().ca_config().0;
    for (provider, config) in [
        ("consul", json!({"Bad": 1})),
        ("consul", json!({"PrivateKey": "nonsense"})),
        ("nosuch", json!({})),
        ("vault", json!({"Token": "x"})),
    ] {
        let result = server.ca_set_config("", CaChange::new(provider, object(config))).await;
        assert!(result.unwrap_err().text.starts_with("could not initialize provider: "));
    }
    assert_eq!(server.view().ca_config().0, before);
    server.shutdown().await;
}
