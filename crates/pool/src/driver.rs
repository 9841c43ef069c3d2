//! The task that owns a pool's gossip: it hands on packets, requests and time, and does what comes
//! of them.

use std::sync::Arc;
use std::time::Duration;

use lictor_gossip::packet::RECEIVE_MAX;
use lictor_gossip::serf::{Event, Serf};
use lictor_gossip::swim::Output;
use lictor_task::TaskSet;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::figures::Figures;
use crate::meters::{Meters, Wire};
use crate::snapshot::{Remembered, SnapshotFile};
use crate::stream::{StreamError, exchange, read};
use crate::{PoolConfig, PoolError, Request, request};

/// Connections that others may have open at a time, and those of ours.
const INBOUND_MAX: usize = 128;
const OUTBOUND_MAX: usize = 64;
/// How long a connection that came in may take.
const INBOUND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a refused `accept` is waited after: mostly there are no file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often moved clocks are remembered.
const CLOCK_INTERVAL: Duration = Duration::from_millis(500);
/// How long there is nothing to do without anything waiting.
const IDLE: Duration = Duration::from_secs(60);
/// Remembered members that are tried at once at the start.
const REJOIN_MAX: usize = 16;

/// Asks the task for something; `None` when it has ended.
pub(crate) async fn ask<T: Send + 'static>(
    requests: &mpsc::Sender<Request>,
    act: impl FnOnce(&mut Serf, Duration) -> T + Send + 'static,
) -> Option<T> {
    let (act, answer) = request(act);
    requests.send(act).await.ok()?;
    answer.await.ok()
}

/// The task's ways out.
pub(crate) struct Ways {
    pub(crate) events: broadcast::Sender<Arc<Event>>,
    pub(crate) figures: watch::Sender<Figures>,
    /// For connections, which answer through the queue like anybody.
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) meters: Meters,
}

/// The task's state.
pub(crate) struct Driver {
    name: &'static str,
    serf: Serf,
    udp: UdpSocket,
    snapshot: Option<SnapshotFile>,
    remembered: Remembered,
    ways: Ways,
    tasks: TaskSet,
    outbound: Arc<Semaphore>,
    started: Instant,
}

impl Driver {
    pub(crate) fn new(
        config: PoolConfig,
        udp: UdpSocket,
        opened: Option<(SnapshotFile, Remembered)>,
        ways: Ways,
        tasks: TaskSet,
    ) -> Result<Self, PoolError> {
        let mut random = [0; 24];
        getrandom(&mut random, GetRandomFlags::empty())
            .map_err(|error| PoolError::Random(error.into()))?;
        let seed = random[..8].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        // From a random start on, so that no two processes with one key use a nonce twice.
        let mut nonce = random[8..].iter().fold(0, |all: u128, byte| all << 8 | u128::from(*byte));
        let nonces = Box::new(move || {
            nonce = nonce.wrapping_add(1);
            let bytes = nonce.to_be_bytes();
            std::array::from_fn(|at| bytes[at + 4])
        });
        let PoolConfig { name, swim, serf, keyring, .. } = config;
        let mut serf = Serf::new(swim, serf, keyring, seed, nonces, Duration::ZERO);
        let (snapshot, remembered) = match opened {
            Some((file, remembered)) => (Some(file), remembered),
            None => (None, Remembered::default()),
        };
        serf.resume(remembered.clocks);
        Ok(Self {
            name,
            serf,
            udp,
            snapshot,
            remembered,
            ways,
            tasks,
            outbound: Arc::new(Semaphore::new(OUTBOUND_MAX)),
            started: Instant::now(),
        })
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let token = self.tasks.token().clone();
        let own = self.serf.swim().itself();
        let known: Vec<_> = self
            .remembered
            .alive
            .iter()
            .filter(|(name, address)| ***name != *own.name && **address != own.address)
            .map(|(_, address)| *address)
            .take(REJOIN_MAX)
            .collect();
        for address in known {
            self.serf.join(address);
        }
        let mut packet = vec![0; RECEIVE_MAX];
        let mut clocks_at = Instant::now() + CLOCK_INTERVAL;
        self.settle(Instant::now());
        while !token.is_cancelled() {
            let deadline = self.serf.deadline().map(|deadline| self.started + deadline);
            let deadline = deadline.unwrap_or_else(|| Instant::now() + IDLE).min(clocks_at);
            tokio::select! {
                () = token.cancelled() => break,
                received = self.udp.recv_from(&mut packet) => match received {
                    Ok((length, from)) => {
                        self.ways.meters.wire.udp_received.add(length as f64);
                        let now = self.now();
                        self.serf.packet(from, &packet[..length], now);
                    }
                    // An answer that says «nobody listens there» to what was sent before.
                    Err(error) => tracing::debug!(pool = self.name, %error, "receiving failed"),
                },
                Some(act) = requests.recv() => {
                    let now = self.now();
                    act(&mut self.serf, now);
                }
                () = sleep_until(deadline) => {}
            }
            let (began, now) = (Instant::now(), self.now());
            if self.serf.deadline().is_some_and(|deadline| deadline <= now) {
                self.serf.tick(now);
            }
            if Instant::now() >= clocks_at {
                clocks_at = Instant::now() + CLOCK_INTERVAL;
                let clocks = self.serf.clocks().map(|clock| clock.saturating_sub(1));
                self.remember(|file| file.clocks(clocks));
                self.count();
            }
            self.settle(began);
        }
    }

    /// Does what came of the last step, which has begun then.
    fn settle(&mut self, began: Instant) {
        while let Some(output) = self.serf.output() {
            match output {
                Output::Packet { to, bytes } => {
                    self.ways.meters.wire.udp_sent.add(bytes.len() as f64);
                    // A full socket loses packets like any network.
                    if let Err(error) = self.udp.try_send_to(&bytes, to) {
                        tracing::debug!(pool = self.name, %to, %error, "packet not sent");
                    }
                }
                Output::Dial { id, to, bytes, within } => self.dial(id, to, bytes, within),
            }
        }
        self.ways.meters.step(&mut self.serf, began);
        let mut changed = false;
        while let Some(event) = self.serf.event() {
            changed = true;
            self.happened(event);
        }
        if changed {
            self.count();
        }
    }

    fn count(&self) {
        let counted = Figures::of(&self.serf);
        self.ways.figures.send_if_modified(|held| {
            let other = *held != counted;
            *held = counted;
            other
        });
    }

    fn happened(&mut self, event: Event) {
        self.ways.meters.event(&event);
        match &event {
            Event::Joined(member) => {
                let (name, address) = (member.info.name.clone(), member.info.address);
                self.remember(|file| file.alive(&name, address));
            }
            Event::Left(member) | Event::Failed(member) | Event::Reaped(member) => {
                let name = member.info.name.clone();
                self.remember(|file| file.not_alive(&name));
            }
            Event::LeaveDone => self.remember(SnapshotFile::leave),
            Event::Trouble(text) => {
                tracing::warn!(pool = self.name, "{text}");
                return;
            }
            _ => {}
        }
        // Without a subscriber nobody wants to know.
        let _ = self.ways.events.send(Arc::new(event));
    }

    fn remember(&mut self, write: impl FnOnce(&mut SnapshotFile) -> std::io::Result<()>) {
        if let Some(file) = &mut self.snapshot
            && let Err(error) = write(file)
        {
            tracing::warn!(pool = self.name, %error, "members are not remembered");
        }
    }

    fn dial(&self, id: u64, to: std::net::SocketAddr, bytes: Vec<u8>, within: Duration) {
        let keyring = self.serf.swim().keyring().clone();
        let incoming = self.serf.swim().config().incoming;
        let (requests, outbound) = (self.ways.requests.clone(), Arc::clone(&self.outbound));
        let wire = Arc::clone(&self.ways.meters.wire);
        self.tasks.spawn_cut("gossip dial", async move {
            let began = Instant::now();
            let answer = match outbound.try_acquire() {
                Ok(_slot) => exchange(to, &bytes, within, &keyring, incoming, &wire)
                    .await
                    .map_err(|error| format!("{to}: {error}")),
                Err(_) => Err(format!("{to}: {OUTBOUND_MAX} connections are open already")),
            };
            let exchanged = ask(&requests, move |serf, now| serf.dialled(id, answer, now)).await;
            if exchanged == Some(true) {
                wire.exchange.time(began.elapsed());
            }
        });
    }
}

/// Takes connections until it is cut.
pub(crate) async fn accept(
    listener: TcpListener,
    requests: mpsc::Sender<Request>,
    wire: Arc<Wire>,
    tasks: TaskSet,
) {
    let slots = Arc::new(Semaphore::new(INBOUND_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((connection, from)) => {
                wire.tcp_accepted.count();
                let (requests, wire) = (requests.clone(), Arc::clone(&wire));
                tasks.spawn_cut("gossip stream", async move {
                    let served = serve(connection, &requests, &wire);
                    match timeout(INBOUND_TIMEOUT, served).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%from, %error, "gossip stream failed"),
                        Err(_) => tracing::debug!(%from, "gossip stream took too long"),
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no gossip connection can be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    mut connection: TcpStream,
    requests: &mpsc::Sender<Request>,
    wire: &Wire,
) -> Result<(), StreamError> {
    let ended = || StreamError::Io(std::io::ErrorKind::ConnectionAborted.into());
    let rules = ask(requests, |serf, _| {
        let swim = serf.swim();
        (swim.keyring().clone(), swim.config().incoming)
    });
    let (keyring, incoming) = rules.await.ok_or_else(ended)?;
    let answer = match read(&mut connection, &keyring, incoming).await {
        Ok(message) => ask(requests, move |serf, now| serf.stream(message, now)).await.flatten(),
        Err(StreamError::Malformed(error)) => {
            tracing::warn!(%error, "gossip stream refused");
            ask(requests, move |serf, _| serf.refusal(error)).await
        }
        Err(error) => return Err(error),
    };
    if let Some(answer) = answer {
        wire.tcp_sent.add(answer.len() as f64);
        connection.write_all(&answer).await?;
        connection.shutdown().await?;
    }
    Ok(())
}
