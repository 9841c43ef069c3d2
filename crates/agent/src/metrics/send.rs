//! Metrics on their way to statsd, statsite and DogStatsD.
//!
//! One line for each value, in the form that all three read: `name:value|c` for counters, `|ms`
//! for samples, `|g` for gauges; DogStatsD's lines have tags. Lines wait in a queue that is
//! bounded: what does not fit is lost and said so. Names follow the original.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lictor_metrics::{Kind, Labels};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, lookup_host};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, timeout};

/// Lines that wait.
const QUEUE: usize = 8192;
/// Most bytes of a datagram: what goes through every network in one piece.
const PACKET: usize = 1400;
/// How long a line waits for others.
const GATHER: Duration = Duration::from_millis(100);
/// Pause before a receiver that was not there is tried again.
const PAUSE: Duration = Duration::from_secs(5);
/// How long connecting or writing may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody who takes metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// statsd at `host:port`, by datagrams.
    Statsd(String),
    /// statsite at `host:port`, by a stream.
    Statsite(String),
    /// DogStatsD at `host:port` or `unix://path`, by datagrams.
    DogStatsd {
        /// Where it is.
        address: String,
        /// Tags of every line.
        tags: Vec<String>,
    },
}

/// What a value means on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Counter,
    Sample,
    Gauge,
}

impl From<Kind> for Mark {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter,
            Kind::Sample => Self::Sample,
            Kind::Gauge => Self::Gauge,
        }
    }
}

/// The queue to one receiver.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    /// `None` where lines have no tags.
    tags: Option<Arc<Vec<String>>>,
    lines: mpsc::Sender<String>,
    lost: Arc<AtomicU64>,
}

/// The other end of the queue: sends until it is dropped.
#[derive(Debug)]
pub(super) struct Sending {
    receiver: Receiver,
    lines: mpsc::Receiver<String>,
    lost: Arc<AtomicU64>,
}

/// A queue to `receiver` with both its ends.
pub(super) fn outlet(receiver: &Receiver) -> (Outlet, Sending) {
    let (sender, lines) = mpsc::channel(QUEUE);
    let lost = Arc::<AtomicU64>::default();
    let tags = match receiver {
        Receiver::DogStatsd { tags, .. } => Some(Arc::new(tags.clone())),
        _ => None,
    };
    let outlet = Outlet { tags, lines: sender, lost: Arc::clone(&lost) };
    (outlet, Sending { receiver: receiver.clone(), lines, lost })
}

impl Outlet {
    /// Whether the receiver adds the host to a gauge by itself.
    pub(super) const fn adds_host(&self) -> bool {
        self.tags.is_some()
    }

    /// Puts a value into the queue, if there is room.
    pub(super) fn push(&self, name: &str, labels: &Labels, mark: Mark, value: f64) {
        let line = line(name, labels, mark, value, self.tags.as_deref());
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn line(name: &str, labels: &Labels, mark: Mark, value: f64, tags: Option<&Vec<String>>) -> String {
    let mut line = String::with_capacity(name.len() + 32);
    let clean = |c: char| match c {
        ':' | ' ' | '|' | '\n' | '\r' => '_',
        c => c,
    };
    line.extend(name.chars().map(clean));
    if tags.is_none() {
        for (_, value) in labels {
            line.push('.');
            line.extend(value.chars().map(clean));
        }
    }
    let mark = match mark {
        Mark::Counter => "c",
        Mark::Sample => "ms",
        Mark::Gauge => "g",
    };
    let _ = write!(line, ":{value:.6}|{mark}");
    if let Some(tags) = tags {
        let own = labels.iter().map(|(name, value)| {
            let value: String = value.chars().map(|c| if c == ',' { '_' } else { c }).collect();
            format!("{name}:{value}")
        });
        for (at, tag) in tags.iter().cloned().chain(own).enumerate() {
            line.push_str(if at == 0 { "|#" } else { "," });
            line.extend(tag.chars().map(|c| if matches!(c, '|' | '\n' | '\r') { '_' } else { c }));
        }
    }
    line.push('\n');
    line
}

impl Sending {
    /// Sends what comes until nothing can come any more, or it is dropped.
    pub(super) async fn run(mut self) {
        let mut tick = interval(GATHER);
        let mut told = Instant::now();
        let mut connection: Option<Connection> = None;
        let mut batch = String::new();
        loop {
            tokio::select! {
                line = self.lines.recv() => match line {
                    Some(line) => {
                        if batch.len() + line.len() <= PACKET {
                            batch.push_str(&line);
                            continue;
                        }
                        self.flush(&mut connection, &batch).await;
                        batch = line;
                    }
                    None => return,
                },
                _ = tick.tick() => {
                    if !batch.is_empty() {
                        self.flush(&mut connection, &batch).await;
                        batch.clear();
                    }
                }
            }
            if told.elapsed() >= PAUSE {
                told = Instant::now();
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::warn!(receiver = ?self.receiver, lost, "metrics could not be sent");
                }
            }
        }
    }

    /// Sends a batch; without a connection it is lost.
    async fn flush(&self, connection: &mut Option<Connection>, batch: &str) {
        if connection.is_none() {
            match Connection::open(&self.receiver).await {
                Ok(open) => *connection = Some(open),
                Err(error) => {
                    tracing::warn!(receiver = ?self.receiver, %error, "metrics cannot be sent");
                    self.lost.fetch_add(batch.lines().count() as u64, Ordering::Relaxed);
                    return sleep(PAUSE).await;
                }
            }
        }
        if let Some(open) = connection
            && let Err(error) = open.send(batch.as_bytes()).await
        {
            tracing::debug!(receiver = ?self.receiver, %error, "metrics were not taken");
            self.lost.fetch_add(batch.lines().count() as u64, Ordering::Relaxed);
            *connection = None;
        }
    }
}

enum Connection {
    Udp(UdpSocket),
    Unix(UnixDatagram),
    Tcp(TcpStream),
}

impl Connection {
    async fn open(receiver: &Receiver) -> io::Result<Self> {
        match receiver {
            Receiver::Statsite(address) => {
                let open = timeout(PATIENCE, TcpStream::connect(address.as_str()));
                open.await.map_err(io::Error::from)?.map(Self::Tcp)
            }
            Receiver::Statsd(address) | Receiver::DogStatsd { address, .. } => {
                if let Some(path) = address.strip_prefix("unix://") {
                    let socket = UnixDatagram::unbound()?;
                    socket.connect(path)?;
                    return Ok(Self::Unix(socket));
                }
                let found = timeout(PATIENCE, lookup_host(address.as_str())).await;
                let place = found.map_err(io::Error::from)??.next();
                let place = place.ok_or(io::ErrorKind::NotFound)?;
                let any: SocketAddr = match place {
                    SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
                    SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
                };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(place).await?;
                Ok(Self::Udp(socket))
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sending = async {
            match self {
                Self::Udp(socket) => socket.send(bytes).await.map(drop),
                Self::Unix(socket) => socket.send(bytes).await.map(drop),
                Self::Tcp(stream) => stream.write_all(bytes).await,
            }
        };
        timeout(PATIENCE, sending).await.map_err(io::Error::from)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_form_that_receivers_read() {
        let labels = vec![("service", "web api".to_owned())];
        let plain = |mark, value| line("c.q", &labels, mark, value, None);
        assert_eq!(plain(Mark::Counter, 1.0), "c.q.web_api:1.000000|c\n");
        assert_eq!(plain(Mark::Sample, 0.25), "c.q.web_api:0.250000|ms\n");
        assert_eq!(line("a:b|c", &Labels::new(), Mark::Gauge, 3.0, None), "a_b_c:3.000000|g\n");
        let tags = vec!["dc:x".to_owned()];
        let tagged = line("c.q", &labels, Mark::Counter, 1.0, Some(&tags));
        assert_eq!(tagged, "c.q:1.000000|c|#dc:x,service:web api\n");
        let bare = line("c.q", &Labels::new(), Mark::Counter, 1.0, Some(&Vec::new()));
        assert_eq!(bare, "c.q:1.000000|c\n");
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted() {
        let (outlet, sending) = outlet(&Receiver::Statsd("127.0.0.1:1".to_owned()));
        for _ in 0..QUEUE + 3 {
            outlet.push("n", &Labels::new(), Mark::Counter, 1.0);
        }
        assert_eq!(sending.lost.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn values_arrive_over_each_way() {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d");
        let unix = UnixDatagram::bind(&path).unwrap();
        let tasks = lictor_task::TaskSet::new("t");
        let address = format!("unix://{}", path.display());
        for receiver in [
            Receiver::Statsd(udp.local_addr().unwrap().to_string()),
            Receiver::Statsite(tcp.local_addr().unwrap().to_string()),
            Receiver::DogStatsd { address, tags: vec!["a:b".to_owned()] },
        ] {
            let (outlet, sending) = outlet(&receiver);
            tasks.spawn_cut("sending", sending.run());
            outlet.push("x", &Labels::new(), Mark::Counter, 1.0);
            outlet.push("y", &Labels::new(), Mark::Gauge, 2.0);
            let mut bytes = [0; 100];
            let expected = "x:1.000000|c\ny:2.000000|g\n";
            let read = async {
                match &receiver {
                    Receiver::Statsd(_) => udp.recv(&mut bytes).await.unwrap(),
                    Receiver::DogStatsd { .. } => unix.recv(&mut bytes).await.unwrap(),
                    Receiver::Statsite(_) => {
                        use tokio::io::AsyncReadExt as _;
                        let mut stream = tcp.accept().await.unwrap().0;
                        stream.read_exact(&mut bytes[..expected.len()]).await.unwrap()
                    }
                }
            };
            let length = timeout(PATIENCE, read).await.expect("a packet");
            let text = String::from_utf8_lossy(&bytes[..length]).replace("|#a:b", "");
            assert!(expected.starts_with(&text) && !text.is_empty(), "{text}");
        }
        tasks.shutdown(PATIENCE).await;
    }
}
