//! Health checks, and instances with theirs.

use std::sync::Arc;

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::catalog::{CheckServiceNode, Node, Service, StringMap};
use lictor_types::check::{HealthCheck, HealthCheckDefinition, Status};
use lictor_types::query::Reply;

use crate::catalog::{NodeArgs, ServiceArgs};
use crate::record::{as_value, fields, record};
use crate::reply::data;
use crate::value::{Lossy, Value};
use crate::{ReadRequest, Source, methods};

methods! {
    /// Checks in a state.
    ChecksInState = "Health.ChecksInState": ReadRequest<StateArgs> => Reply<Vec<Arc<HealthCheck>>>;
    /// Checks of a node.
    NodeChecks = "Health.NodeChecks": ReadRequest<NodeArgs> => Reply<Vec<Arc<HealthCheck>>>;
    /// Checks of a service.
    ServiceChecks = "Health.ServiceChecks":
        ReadRequest<ServiceArgs> => Reply<Vec<Arc<HealthCheck>>>;
    /// Instances of a service with all their checks, whatever state those are in: only passing
    /// ones are chosen by whoever asks.
    ServiceNodes = "Health.ServiceNodes": ReadRequest<ServiceArgs> => Reply<Vec<CheckServiceNode>>;
}

/// Checks in a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateArgs {
    /// `passing`, `warning`, `critical` or `any`.
    pub state: String,
    /// Metadata that the node must have.
    pub meta: StringMap,
    /// From where distances are measured.
    pub source: Source,
}

fields! { StateArgs {
    "NodeMetaFilters": meta,
    "Source": source,
    "State": state,
} }

record! { HealthCheck {
    "CheckID": check_id,
    "CreateIndex": create_index,
    "Definition": definition,
    "ExposedPort" = 0_u64,
    "Interval": interval,
    "ModifyIndex": modify_index,
    "Name": name,
    "Node": node,
    "Notes": notes as Lossy,
    "Output": output as Lossy,
    "ServiceID": service_id,
    "ServiceName": service_name,
    "ServiceTags": service_tags,
    "Status": status,
    "Timeout": timeout,
    "Type": kind,
} }

record! { HealthCheckDefinition {
    "AliasNode" = "",
    "AliasService" = "",
    "Body" = "",
    "DeregisterCriticalServiceAfter": deregister_critical_service_after,
    "DisableRedirects" = false,
    "DockerContainerID" = "",
    "GRPC" = "",
    "GRPCUseTLS" = false,
    "H2PING" = "",
    "HTTP": http,
    "Header": header,
    "Interval": interval,
    "Method": method,
    "OutputMaxSize" = 0_u64,
    "ScriptArgs" = None::<String>,
    "Shell" = "",
    "TCP": tcp,
    "TLSServerName" = "",
    "TLSSkipVerify": tls_skip_verify,
    "TTL" = 0_u64,
    "Timeout": timeout,
    // Of later versions.
    "UDP": udp,
} }

impl Value for Status {
    fn write(&self, to: &mut Writer) {
        to.raw(self.as_str());
    }

    /// What is not said is critical.
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match from.text()? {
            "" => Ok(Self::Critical),
            word => Self::parse(word).ok_or(Malformed::Word),
        }
    }
}

as_value!(CheckServiceNode, costs Arc::<Node>::COST + Arc::<Service>::COST);

fields! { CheckServiceNode = Self {
    node: Arc::<Node>::default(),
    service: Arc::<Service>::default(),
    checks: Vec::new(),
} => {
    "Checks": checks,
    "Node": node,
    "Service": service,
} }

data! {
    "HealthChecks": Vec<Arc<HealthCheck>>;
    "Nodes": Vec<CheckServiceNode>;
}
