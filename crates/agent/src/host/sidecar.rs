//! Sidecars that are registered together with their service: what they inherit from it, which
//! port they get, and the checks of those that bring none.
//!
//! Follows `connect.sidecar_service` of the original's version 1.3 and later. A sidecar is a
//! service like any other once it is registered; only its removal with the service is special.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use lictor_types::catalog::{Service, ServiceKind};
use lictor_types::definition::{CheckDefinition, CheckKind, ServiceDefinition};

use super::Host;
use super::service::Planned;
use crate::error::AgentError;
use crate::local::Origin;

/// Pause between two looks whether a sidecar listens, in nanoseconds.
const LISTENING_INTERVAL: i64 = 10_000_000_000;

/// The ID of the sidecar of a service.
pub(super) fn sidecar_id(service: &str) -> String {
    format!("{service}-sidecar-proxy")
}

/// Ports that sidecars may have, and who has them.
#[derive(Debug)]
pub(super) struct SidecarPorts {
    range: Option<RangeInclusive<u16>>,
    taken: BTreeMap<u16, Arc<str>>,
}

impl SidecarPorts {
    /// A port for the sidecar with this ID: the one that it has, or the lowest that is free.
    fn give(&mut self, id: &str) -> Result<u16, AgentError> {
        let Some(range) = self.range.clone() else {
            return Err(AgentError::invalid(
                "Invalid SidecarService: no port provided for sidecar_service and \
                 auto-assignment disabled in config",
            ));
        };
        let (first, last) = (*range.start(), *range.end());
        let own = self.taken.range(range.clone()).find(|(_, holder)| &***holder == id);
        let free = || range.into_iter().find(|port| !self.taken.contains_key(port));
        let Some(port) = own.map(|(port, _)| *port).or_else(free) else {
            return Err(AgentError::Invalid(format!(
                "Invalid SidecarService: no port provided for sidecar_service and none left in \
                 the configured range [{first}, {last}]"
            )));
        };
        self.taken.insert(port, id.into());
        Ok(port)
    }
}

impl Host {
    /// The ports as local services have them now, and `others` that are about to be there.
    pub(super) fn sidecar_ports<'a>(
        &self,
        others: impl Iterator<Item = &'a Service>,
    ) -> SidecarPorts {
        let port = |service: &Service| (service.port, Arc::clone(&service.id));
        let services = self.local.services();
        let here = services.iter().map(|service| port(service));
        let taken = others.map(port).chain(here).collect();
        SidecarPorts { range: self.sidecar_range.clone(), taken }
    }

    /// What a definition makes: the service, and its sidecar if it has one.
    pub(super) fn plan(
        &self,
        definition: &ServiceDefinition,
        origin: Origin,
        ports: &mut SidecarPorts,
    ) -> Result<Vec<Planned>, AgentError> {
        let main = Planned::new(definition, origin);
        let Some(sidecar) = &definition.sidecar else { return Ok(vec![main]) };
        let mut sidecar = inherited(&main.service, sidecar);
        if sidecar.port == 0 {
            sidecar.port = ports.give(&sidecar.id)?;
        }
        if sidecar.checks.is_empty() {
            sidecar.checks = usual_checks(&main.service, &sidecar);
        }
        if sidecar.token.is_empty() {
            sidecar.token.clone_from(&definition.token);
        }
        let sidecar = Planned { sidecar: true, ..Planned::new(&sidecar, origin) };
        Ok(vec![main, sidecar])
    }
}

/// The definition of a sidecar with what it leaves open filled in from its service.
pub(crate) fn inherited(main: &Service, given: &ServiceDefinition) -> ServiceDefinition {
    let mut sidecar = given.clone();
    sidecar.id = sidecar_id(&main.id);
    sidecar.sidecar = None;
    if sidecar.kind == ServiceKind::Typical {
        sidecar.kind = ServiceKind::ConnectProxy;
    }
    if sidecar.name.is_empty() {
        sidecar.name = sidecar_id(&main.name);
    }
    if sidecar.address.is_empty() {
        sidecar.address.clone_from(&main.address);
    }
    if sidecar.locality.is_none() {
        sidecar.locality.clone_from(&main.locality);
    }
    if sidecar.tags.is_empty() {
        sidecar.tags.clone_from(&main.tags);
    }
    if sidecar.meta.is_empty() {
        sidecar.meta.clone_from(&main.meta);
    }
    let mut proxy = sidecar.proxy.take().unwrap_or_default();
    if proxy.destination_service_name.is_empty() {
        proxy.destination_service_name = main.name.to_string();
    }
    if proxy.destination_service_id.is_empty() {
        proxy.destination_service_id = main.id.to_string();
    }
    if proxy.local_service_address.is_empty() {
        "127.0.0.1".clone_into(&mut proxy.local_service_address);
    }
    if proxy.local_service_port == 0 {
        proxy.local_service_port = main.port;
    }
    sidecar.proxy = Some(proxy);
    sidecar
}

/// Whether it listens, and whether its service is healthy.
fn usual_checks(main: &Service, sidecar: &ServiceDefinition) -> Vec<CheckDefinition> {
    let host = sidecar.proxy.as_ref().map_or("", |proxy| &proxy.local_service_address);
    let address = match host.contains(':') {
        true => format!("[{host}]:{}", sidecar.port),
        false => format!("{host}:{}", sidecar.port),
    };
    let check = |name: String, kind, interval| CheckDefinition {
        id: String::new(),
        name,
        notes: String::new(),
        service_id: String::new(),
        token: String::new(),
        status: None,
        kind,
        interval,
        timeout: 0,
        deregister_critical_service_after: 0,
        success_before_passing: 0,
        failures_before_critical: 0,
    };
    let alias = CheckKind::Alias { node: String::new(), service: main.id.to_string() };
    vec![
        check(
            "Connect Sidecar Listening".to_owned(),
            CheckKind::Tcp { address },
            LISTENING_INTERVAL,
        ),
        check(format!("Connect Sidecar Aliasing {}", main.id), alias, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_the_lowest_free_ones_and_stay() {
        let taken = [(21000, "other"), (21002, "b-sidecar-proxy")];
        let taken = taken.map(|(port, id)| (port, Arc::<str>::from(id))).into();
        let mut ports = SidecarPorts { range: Some(21000..=21003), taken };
        assert_eq!(ports.give("a-sidecar-proxy"), Ok(21001));
        assert_eq!(ports.give("b-sidecar-proxy"), Ok(21002));
        assert_eq!(ports.give("a-sidecar-proxy"), Ok(21001));
        assert_eq!(ports.give("c-sidecar-proxy"), Ok(21003));
        let text = ports.give("d-sidecar-proxy").unwrap_err().to_string();
        assert!(text.ends_with("none left in the configured range [21000, 21003]"), "{text}");
        let mut none = SidecarPorts { range: None, taken: BTreeMap::new() };
        assert!(none.give("a").unwrap_err().to_string().contains("auto-assignment disabled"));
    }

    #[test]
    fn a_sidecar_inherits_from_its_service() {
        let main = Service {
            id: "web1".into(),
            name: "web".into(),
            tags: vec!["t".to_owned()],
            port: 80,
            ..Service::default()
        };
        let made = inherited(&main, &ServiceDefinition { port: 9, ..ServiceDefinition::default() });
        assert_eq!((&*made.id, &*made.name), ("web1-sidecar-proxy", "web-sidecar-proxy"));
        assert_eq!((made.kind.as_str(), &made.tags[..]), ("connect-proxy", &["t".to_owned()][..]));
        let proxy = made.proxy.as_ref().unwrap();
        assert_eq!((&*proxy.destination_service_name, proxy.local_service_port), ("web", 80));
        let checks = usual_checks(&main, &made);
        assert_eq!(checks[0].kind, CheckKind::Tcp { address: "127.0.0.1:9".to_owned() });
        assert_eq!(checks[1].name, "Connect Sidecar Aliasing web1");
    }
}
