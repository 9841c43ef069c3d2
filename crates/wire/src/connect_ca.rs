//! The certificate authority.

use lictor_types::ca::{CaChange, CaConfig, CaRoot, CaRoots, SignedLeaf};
use lictor_types::query::Reply;
use lictor_types::timestamp::Timestamp;
use serde_json::Map;

use crate::record::{fields, record};
use crate::{ReadRequest, WriteRequest, methods};

methods! {
    /// The settings, without secrets.
    ConfigurationGet = "ConnectCA.ConfigurationGet": ReadRequest => CaConfig;
    /// Changes the settings.
    ConfigurationSet = "ConnectCA.ConfigurationSet": WriteRequest<ConfigChange> => ();
    /// The trusted roots.
    Roots = "ConnectCA.Roots": ReadRequest => Reply<CaRoots>;
    /// Signs the certificate of a service.
    Sign = "ConnectCA.Sign": WriteRequest<SignArgs> => SignedLeaf;
    /// Signs the certificate of another datacenter's authority, which is the reply, in PEM. Version
    /// 1.2 does not know it.
    SignIntermediate = "ConnectCA.SignIntermediate": WriteRequest<SignArgs> => String;
    /// Signs the certificate of an agent that is about to join, over a connection that cannot ask
    /// anything else. Version 1.2 does not know it.
    AutoEncryptSign = "AutoEncrypt.Sign": WriteRequest<SignArgs> => AutoEncryptReply;
}

/// New settings.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigChange {
    /// All of them.
    pub config: CaChange,
}

fields! { ConfigChange = Self { config: CaChange::default() } => {
    "Config": config,
    "Index" = 0_u64,
    "Op" = "",
    "ProviderState" = None::<String>,
    "Roots" = None::<String>,
} }

/// A request for a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignArgs {
    /// The request, in PEM.
    pub csr: String,
}

fields! { SignArgs { "CSR": csr, } }

fn no_config() -> CaConfig {
    CaConfig {
        cluster_id: String::new(),
        provider: String::new(),
        config: Map::new(),
        create_index: 0,
        modify_index: 0,
    }
}

record! { CaConfig = no_config() => {
    "ClusterID": cluster_id,
    "Config": config,
    "CreateIndex": create_index,
    "ForceWithoutCrossSigning" = false,
    "ModifyIndex": modify_index,
    "Provider": provider,
    "State" = None::<String>,
} }

record! { CaChange {
    "ClusterID" = "",
    "Config": config,
    "CreateIndex" = 0_u64,
    "ForceWithoutCrossSigning": force_without_cross_signing,
    "ModifyIndex" = 0_u64,
    "Provider": provider,
    "State" = None::<String>,
} }

// The keys of roots are not told to anybody.
record! { CaRoot = Self {
    id: String::new(),
    name: String::new(),
    serial_number: 0,
    signing_key_id: String::new(),
    external_trust_domain: String::new(),
    not_before: Timestamp(0),
    not_after: Timestamp(0),
    root_cert: String::new(),
    intermediate_certs: Vec::new(),
    active: false,
    rotated_out_at: Timestamp(0),
    create_index: 0,
    modify_index: 0,
} => {
    "Active": active,
    "CreateIndex": create_index,
    "ExternalTrustDomain": external_trust_domain,
    "ID": id,
    "IntermediateCerts": intermediate_certs,
    "ModifyIndex": modify_index,
    "Name": name,
    "NotAfter": not_after,
    "NotBefore": not_before,
    "PrivateKeyBits" = 0_u64,
    "PrivateKeyType" = "",
    "RootCert": root_cert,
    "RotatedOutAt": rotated_out_at,
    "SerialNumber": serial_number,
    "SigningCert" = "",
    "SigningKey" = "",
    "SigningKeyID": signing_key_id,
} }

fields! { CaRoots {
    "ActiveRootID": active_root_id,
    "Roots": roots,
    "TrustDomain": trust_domain,
} }

record! { SignedLeaf {
    "Agent": agent,
    "AgentURI": agent_uri,
    "CertPEM": cert_pem,
    "CreateIndex": index,
    "ModifyIndex": index,
    "PrivateKeyPEM" = "",
    "SerialNumber": serial_number,
    "Service": service,
    "ServiceURI": service_uri,
    "ValidAfter": valid_after,
    "ValidBefore": valid_before,
} }

/// What an agent needs to join a cluster that trusts nobody else.
#[derive(Debug)]
pub struct AutoEncryptReply {
    /// Its certificate.
    pub leaf: SignedLeaf,
    /// The roots of the mesh.
    pub roots: Option<Reply<CaRoots>>,
    /// Roots that the server was configured with, in PEM.
    pub manual_roots: Vec<String>,
    /// The key of gossip, in base64.
    pub gossip_key: String,
    /// Whether the names of servers are checked.
    pub verify_server_hostname: bool,
}

record! { AutoEncryptReply = Self {
    leaf: SignedLeaf::default(),
    roots: None,
    manual_roots: Vec::new(),
    gossip_key: String::new(),
    verify_server_hostname: false,
} => {
    "ConnectCARoots": roots,
    "GossipKey": gossip_key,
    "IssuedCert": leaf,
    "ManualCARoots": manual_roots,
    "VerifyServerHostname": verify_server_hostname,
} }
