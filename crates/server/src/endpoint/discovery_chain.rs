//! Discovery chains: the way from the name of a service to instances.

use lictor_acl::Authorizer;
use lictor_state::chain::{CompileOptions, Entries, compile};
use lictor_state::{Table, Topic, View};
use lictor_types::Index;
use lictor_types::chain::{ChainQuery, CompiledChain};
use lictor_types::error::EndpointError;
use lictor_types::query::{QueryOptions, Reply};

use crate::ca::trust_domain;
use crate::cache::Identity;
use crate::read::Read;
use crate::rights::{Only, need};
use crate::server::Server;

impl Server {
    /// The chain of a service, which needs the right to read that service.
    ///
    /// # Errors
    /// When the mesh is off or not ready, no service is named, or the entries make no chain; else
    /// see [`Server::catalog_nodes`].
    pub async fn discovery_chain(
        &self,
        options: &QueryOptions,
        asked: &ChainQuery,
    ) -> Result<Reply<Option<CompiledChain>>, EndpointError> {
        self.check_datacenter(&options.datacenter)?;
        self.check_connect()?;
        let may = |who: &Authorizer| who.service_read(&asked.service);
        need(may(&*self.authorizer(&options.token)?))?;
        if asked.service.is_empty() {
            return Err(EndpointError::refused("Must provide service name"));
        }
        // Names in it end with the trust domain, which the authority decides about.
        self.until_roots().await;
        let evaluate = |view: &View| {
            let (index, entries) = entries(view);
            let timeout = asked.connect_timeout.as_nanos().to_string();
            let ChainQuery { service, evaluate_in, mesh_gateway, protocol, .. } = asked;
            let arguments = [&**service, evaluate_in, mesh_gateway, protocol, &*timeout];
            let identity = Identity::with("chain", &arguments);
            self.cache().try_get(identity, view.epoch(), index, || {
                self.chain(view, entries, asked).map(Some)
            })
        };
        self.read(Read { evaluate, topics, rights: Only(may), options }).await
    }

    fn chain(
        &self,
        view: &View,
        entries: &Entries,
        asked: &ChainQuery,
    ) -> Result<CompiledChain, EndpointError> {
        let config = view.ca_config().1;
        let Some(domain) = config.and_then(|config| trust_domain(&config).ok()) else {
            return Err(EndpointError::refused("no cluster ca config setup"));
        };
        let own = &*self.config().datacenter;
        let options = CompileOptions {
            evaluate_in: if asked.evaluate_in.is_empty() { own } else { &asked.evaluate_in },
            used_in: own,
            trust_domain: &domain.to_string(),
            mesh_gateway: &asked.mesh_gateway,
            protocol: &asked.protocol,
            connect_timeout: asked.connect_timeout,
        };
        compile(entries, &asked.service, &options).map_err(|error| {
            EndpointError::refused(format!("failed to compile discovery chain: {error}"))
        })
    }
}

/// The configuration entries that chains are compiled from, and the index of the last change of
/// what a chain depends on: those, and the trust domain.
fn entries(view: &View) -> (Index, &Entries) {
    let (index, entries) = view.chain_entries();
    (index.max(view.table_index(&[Table::ConnectCaRoots])), entries)
}

/// What a change of that touches.
fn topics() -> Vec<Topic> {
    vec![Topic::Table(Table::ConnectCaRoots), Topic::Table(Table::ConfigEntries)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lictor_types::config_entry::ConfigEntry;

    use super::*;
    use crate::testing;

    fn asked(service: &str) -> ChainQuery {
        ChainQuery { service: service.to_owned(), ..ChainQuery::default() }
    }

    #[tokio::test]
    async fn a_service_without_entries_leads_to_its_instances() {
        let server = testing::start().await;
        let options = QueryOptions::default();
        let reply = server.discovery_chain(&options, &asked("web")).await.expect("a chain");
        let chain = reply.result.value.as_ref().expect("there is one");
        let roots = server.ca_roots(&options).await.expect("roots");
        let target = &chain.targets["web.default.dc1"];
        assert!(target.sni.ends_with(&roots.result.value.trust_domain), "{}", target.sni);
        assert_eq!((&*chain.start, &*chain.protocol), ("resolver:web.default.dc1", "tcp"));
        assert_eq!((&*chain.datacenter, &*chain.customization), ("dc1", ""));
        let there = ChainQuery {
            evaluate_in: "dc2".to_owned(),
            mesh_gateway: "local".to_owned(),
            ..asked("web")
        };
        let there = server.discovery_chain(&options, &there).await.expect("a chain");
        let there = there.result.value.as_ref().expect("there is one");
        assert_eq!(there.targets["web.default.dc2"].mesh_gateway, "local");
        assert_eq!(there.customization.len(), 8);
        let error = server.discovery_chain(&options, &asked("")).await.expect_err("no name");
        assert_eq!(error.text, "Must provide service name");
    }

    #[tokio::test]
    async fn a_chain_follows_the_entries() {
        let server = testing::start().await;
        let options = QueryOptions::default();
        let first = server.discovery_chain(&options, &asked("web")).await.expect("a chain");
        let given = serde_json::json!({"Kind": "service-resolver", "Name": "web",
            "Redirect": {"Service": "db"}});
        let entry = given.as_object().map(ConfigEntry::from_json).expect("an object");
        let waits = QueryOptions {
            min_index: first.meta.index,
            max_wait: Duration::from_secs(30),
            ..QueryOptions::default()
        };
        let question = asked("web");
        let (next, written) = tokio::join!(
            server.discovery_chain(&waits, &question),
            server.config_entry_apply("", "", entry.expect("an entry"), None),
        );
        assert_eq!(written, Ok(true));
        let next = next.expect("a chain");
        let chain = next.result.value.as_ref().expect("there is one");
        assert_eq!(&*chain.start, "resolver:db.default.dc1");
        assert!(next.meta.index > first.meta.index);
    }

    #[tokio::test]
    async fn whoever_waits_for_another_chain_waits() {
        let server = testing::start().await;
        let first =
            server.discovery_chain(&QueryOptions::default(), &asked("web")).await.expect("a chain");
        let options = QueryOptions {
            min_index: first.meta.index,
            max_wait: Duration::from_millis(50),
            ..QueryOptions::default()
        };
        let started = std::time::Instant::now();
        let again = server.discovery_chain(&options, &asked("web")).await.expect("a chain");
        assert!(started.elapsed() >= Duration::from_millis(50));
        // Equal questions share an answer, and others do not.
        assert!(std::sync::Arc::ptr_eq(&again.result, &first.result));
    }
}
