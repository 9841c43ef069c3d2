//! Three datacenters with a server each, a client agent in the first, and calls without sockets.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lictor_forward::{
    Asking, CallFailure, Caller, Calling, CallingSnapshot, ForwardConfig, KeyringArgs,
    KeyringReply, Map, Place, Pools, Routes, ServeError, ServerInfo, Servers, Target,
};
use lictor_server::{AclSettings, CaSettings, Server, ServerConfig, Storage, Timing, Waits};
use lictor_types::catalog::StringMap;
use lictor_types::coordinate::Coordinate;
use tokio::sync::watch;

/// All datacenters.
const DATACENTERS: [&str; 3] = ["dc1", "dc2", "dc3"];
/// How long a leader is waited for.
pub(crate) const HOLD: Duration = Duration::from_millis(800);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What happens to calls.
#[derive(Debug)]
pub(crate) struct Faults {
    next: Mutex<VecDeque<CallFailure>>,
    always: Mutex<Option<CallFailure>>,
    pub(crate) calls: AtomicU64,
    begun: watch::Sender<BTreeMap<&'static str, u64>>,
    seen: Mutex<BTreeMap<&'static str, u64>>,
    lost: watch::Sender<u64>,
    hang: AtomicBool,
}

impl Faults {
    pub(crate) fn fail_next(&self, failure: CallFailure) {
        locked(&self.next).push_back(failure);
    }

    pub(crate) fn fail_always(&self, failure: CallFailure) {
        *locked(&self.always) = Some(failure);
    }

    /// Whether calls that begin from now on are answered never.
    pub(crate) fn hang(&self, hang: bool) {
        self.hang.store(hang, Ordering::SeqCst);
    }

    /// Calls that are under way lose their connection.
    pub(crate) fn lose_what_waits(&self) {
        self.lost.send_modify(|count| *count += 1);
    }

    /// Until another call of this method than those seen so far has begun.
    pub(crate) async fn waits_for_call(&self, method: &'static str) {
        let seen = locked(&self.seen).get(method).copied().unwrap_or_default();
        let mut begun = self.begun.subscribe();
        let now = begun.wait_for(|begun| begun.get(method).copied().unwrap_or_default() > seen);
        let now = now.await.unwrap().get(method).copied().unwrap_or_default();
        locked(&self.seen).insert(method, now);
    }
}

/// Calls the servers of this process.
#[derive(Debug, Clone)]
struct Here {
    servers: Arc<Mutex<BTreeMap<SocketAddr, Servers>>>,
    faults: Arc<Faults>,
}

impl Caller for Here {
    fn call<'a>(
        &'a self,
        to: &'a Target,
        method: &'static str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Calling<'a> {
        Box::pin(async move {
            self.faults.calls.fetch_add(1, Ordering::SeqCst);
            if let Some(failure) = locked(&self.faults.next).pop_front() {
                return Err(failure);
            }
            if let Some(failure) = locked(&self.faults.always).clone() {
                return Err(failure);
            }
            let server = locked(&self.servers).get(&to.address).cloned();
            let server = server.ok_or_else(|| CallFailure::Unsent("nobody is there".into()))?;
            let mut lost = self.faults.lost.subscribe();
            let serving = server.serve(method, body);
            self.faults.begun.send_modify(|begun| *begun.entry(method).or_default() += 1);
            if self.faults.hang.load(Ordering::SeqCst) {
                return std::future::pending().await;
            }
            tokio::select! {
                answer = tokio::time::timeout(patience, serving) => match answer {
                    Ok(Ok(body)) => Ok(body),
                    Ok(Err(ServeError::Failed(text))) => Err(CallFailure::Remote(text)),
                    Ok(Err(_)) => Err(CallFailure::Remote(format!("rpc: can't find {method}"))),
                    Err(_) => Err(CallFailure::TimedOut),
                },
                _ = lost.changed() => Err(CallFailure::Lost("EOF".into())),
            }
        })
    }

    fn snapshot<'a>(
        &'a self,
        _: &'a Target,
        _: Vec<u8>,
        _: Option<Bytes>,
        _: Duration,
    ) -> CallingSnapshot<'a> {
        Box::pin(async { Err(CallFailure::Unsent("no snapshots here".into())) })
    }
}

/// The pools of a server; `dc3` is nearer to all than `dc2`.
#[derive(Debug)]
pub(crate) struct Gossip {
    datacenter: &'static str,
    fired: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Gossip {
    /// Events that were sent.
    pub(crate) fn fired(&self) -> Vec<(String, Vec<u8>)> {
        locked(&self.fired).clone()
    }
}

impl Pools for Gossip {
    fn map(&self) -> Asking<'_, Option<Map>> {
        let place = |(at, datacenter): (f64, &str)| {
            let mut there = Coordinate::default();
            there.vec[0] = at;
            Place { name: "n1".into(), datacenter: datacenter.into(), coordinate: Some(there) }
        };
        let servers = [(0.0, "dc1"), (0.2, "dc2"), (0.1, "dc3")].map(place).to_vec();
        Box::pin(async { Some(Map { own: Coordinate::default(), servers }) })
    }

    fn fire<'a>(&'a self, name: &'a str, payload: Vec<u8>) -> Asking<'a, Result<(), String>> {
        locked(&self.fired).push((name.to_owned(), payload));
        Box::pin(async { Ok(()) })
    }

    fn keys<'a>(&'a self, wan: bool, asked: &'a KeyringArgs) -> Asking<'a, Option<KeyringReply>> {
        let datacenter = self.datacenter.to_owned();
        let keys = [(asked.key.clone(), 1)].into();
        let reply = KeyringReply { wan, datacenter, keys, members: 1, ..KeyringReply::default() };
        Box::pin(async { Some(reply) })
    }
}

/// All of it.
pub(crate) struct Scene {
    pub(crate) client: Servers,
    /// The server of `dc1`.
    pub(crate) server: Servers,
    pub(crate) faults: Arc<Faults>,
    /// Those of the servers, by datacenter.
    pub(crate) pools: Vec<Arc<Gossip>>,
    /// The servers of the other datacenters.
    pub(crate) others: Vec<Servers>,
}

fn server_config(datacenter: &str) -> ServerConfig {
    ServerConfig {
        config_entries: Vec::new(),
        node_name: "n1".into(),
        node_id: uuid(datacenter),
        datacenter: datacenter.into(),
        advertise_address: "127.0.0.1".into(),
        server_port: 8300,
        tagged_addresses: StringMap::new(),
        node_meta: StringMap::new(),
        storage: Storage::Memory,
        bootstrap: true,
        timing: Timing::default(),
        transport: None,
        expect: 0,
        hold_timeout: HOLD,
        session_ttl_min: Duration::from_secs(10),
        waits: Waits::default(),
        acl: AclSettings::default(),
        primary: None,
        version: "1.2.0".into(),
        autopilot: Default::default(),
        metrics: Default::default(),
        ca: Some(CaSettings::default()),
    }
}

fn uuid(datacenter: &str) -> String {
    let digit = datacenter.chars().last().unwrap();
    format!("{digit}1111111-2222-3333-4444-555555555555")
}

fn config(datacenter: &str) -> ForwardConfig {
    ForwardConfig {
        datacenter: datacenter.to_owned(),
        node_name: "n1".into(),
        hold_timeout: HOLD,
        waits: Waits::default(),
        token_ttl: lictor_forward::TOKEN_TTL,
        acl: AclSettings::default(),
        metrics: lictor_metrics::Metrics::default(),
    }
}

fn address(datacenter: &str) -> SocketAddr {
    let number = datacenter.trim_start_matches("dc").parse::<u16>().unwrap();
    SocketAddr::from(([127, 0, 0, 1], 8299 + number))
}

/// Those of an agent that knows servers of these datacenters.
fn routes(datacenter: &str, known: &[&str]) -> Arc<Routes> {
    let routes = Routes::new(datacenter);
    for datacenter in known.iter().copied() {
        routes.add(ServerInfo {
            name: "n1".into(),
            id: uuid(datacenter),
            datacenter: datacenter.into(),
            address: address(datacenter),
        });
    }
    Arc::new(routes)
}

impl Scene {
    pub(crate) async fn start() -> Self {
        let faults = Arc::new(Faults {
            next: Mutex::default(),
            always: Mutex::default(),
            calls: AtomicU64::new(0),
            begun: watch::Sender::default(),
            seen: Mutex::default(),
            lost: watch::Sender::new(0),
            hang: AtomicBool::new(false),
        });
        let caller = Here { servers: Arc::default(), faults: Arc::clone(&faults) };
        let mut all = Vec::new();
        let mut pools = Vec::new();
        for datacenter in DATACENTERS {
            let server = Server::start(server_config(datacenter)).await.unwrap();
            let mut leadership = server.leadership();
            leadership.wait_for(|now| now.is_self).await.unwrap();
            let way = Arc::new(caller.clone());
            let servers = Servers::new(
                config(datacenter),
                Some(server),
                routes(datacenter, &DATACENTERS),
                way,
            );
            let gossip = Arc::new(Gossip { datacenter, fired: Mutex::default() });
            servers.set_pools(Arc::clone(&gossip) as Arc<dyn Pools>);
            pools.push(gossip);
            locked(&caller.servers).insert(address(datacenter), servers.clone());
            all.push(servers);
        }
        // A client agent knows the servers of its own datacenter only.
        let routes = routes("dc1", &["dc1"]);
        let client = Servers::new(config("dc1"), None, routes, Arc::new(caller));
        let scene = Self { client, server: all.remove(0), faults, pools, others: all };
        // The node of a server is in the catalog once its leader has taken up its duties.
        let options = lictor_types::query::QueryOptions::default();
        let entered = async {
            while scene
                .server
                .catalog_nodes(&options, "", &StringMap::new())
                .await
                .unwrap()
                .result
                .value
                .is_empty()
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), entered).await.unwrap();
        scene
    }

    /// A client agent that knows no server.
    pub(crate) fn without_servers(&self) -> Servers {
        let routes = Arc::new(Routes::new("dc1"));
        Servers::new(config("dc1"), None, routes, Arc::new(lictor_forward::Nobody))
    }

    pub(crate) async fn end(self) {
        self.client.shutdown().await;
        for servers in std::iter::once(self.server).chain(self.others) {
            servers.shutdown().await;
            servers.here().unwrap().shutdown().await;
        }
    }
}
