//! Questions over UDP: many messages for one call of the system, one socket for each core.
//!
//! Answers leave from the address that was asked, also where a socket listens at all of them.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lictor_task::{CancellationToken, TaskSet};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::engine::{Engine, Step};
use crate::fit::Transport;
use crate::waiting::{Asker, Shared, now};

/// What the system may hand over at once: several datagrams of one sender in a row.
const BUFFER: usize = 65_536;
/// Bytes that may wait in the system for us.
const RECEIVE_BUFFER: usize = 1 << 20;
/// How long to wait when receiving fails for no known reason.
const PAUSE: Duration = Duration::from_millis(50);

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
}

/// Binds `count` sockets to one address, among which the system spreads the senders.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<Udp>> {
    // The first takes the address for itself, so that nobody else's is joined by accident.
    let first = open(address)?;
    first.bind(&address.into())?;
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    first.set_reuse_port(true)?;
    let mut sockets = vec![first];
    for _ in 1..count {
        let next = open(address)?;
        next.set_reuse_port(true)?;
        next.bind(&address.into())?;
        sockets.push(next);
    }
    sockets.into_iter().map(Udp::new).collect()
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        tracing::debug!(%error, "dns: the receive buffer stays as it is");
    }
    Ok(socket)
}

impl Udp {
    fn new(socket: Socket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        // Answers may be larger than a packet of the network: they are split on the way.
        let v6 = socket.local_addr()?.is_ipv6();
        let split = sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::DONT);
        if v6 {
            // Such a socket may serve IPv4 as well, or may not.
            let _ = split;
            sockopt::set_ipv6_mtu_discover(&socket, sockopt::Ipv6PathMtuDiscovery::DONT)?;
        } else {
            split?;
        }
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, state })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn send(&self, to: SocketAddr, from: Option<IpAddr>, contents: &[u8]) -> io::Result<()> {
        let transmit =
            Transmit { destination: to, ecn: None, contents, segment_size: None, src_ip: from };
        let state = &self.state;
        let socket = &self.socket;
        socket.try_io(Interest::WRITABLE, || state.try_send(socket.into(), &transmit))
    }

    async fn send_when_possible(&self, to: SocketAddr, from: Option<IpAddr>, contents: &[u8]) {
        while let Err(error) = self.send(to, from, contents) {
            let full = error.kind() == io::ErrorKind::WouldBlock;
            if !full || self.socket.writable().await.is_err() {
                tracing::debug!(peer = %to, %error, "dns: an answer could not be sent");
                return;
            }
        }
    }
}

/// Answers what arrives until it is told to stop.
pub(crate) async fn serve(
    udp: Arc<Udp>,
    shared: Arc<Shared>,
    tasks: TaskSet,
    stop: CancellationToken,
) {
    let mut engine = Engine::default();
    let mut memory = vec![0_u8; BUFFER * BATCH_SIZE];
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    let mut out = Vec::with_capacity(4096);
    loop {
        let ready = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            ready = udp.socket.readable() => ready,
        };
        let received = ready.and_then(|()| {
            let mut rest = memory.chunks_exact_mut(BUFFER);
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| IoSliceMut::new(rest.next().unwrap_or_default()));
            udp.socket.try_io(Interest::READABLE, || {
                udp.state.recv((&udp.socket).into(), &mut slices, &mut metas)
            })
        });
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => {
                // What an earlier answer met on its way is reported here as well.
                tracing::debug!(%error, "dns: receiving failed");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (settings, began) = (shared.settings.get(), Instant::now());
        engine.use_settings(&settings);
        let view = shared.view();
        let context = shared.context(&settings, &view, now());
        let may_answer = shared.may_answer(&settings);
        for (meta, buffer) in metas[..count].iter().zip(memory.chunks_exact(BUFFER)) {
            if meta.stride == 0 {
                continue;
            }
            for message in buffer[..meta.len].chunks(meta.stride) {
                out.clear();
                let step = engine.respond(context, message, Transport::Udp, &mut out);
                match step {
                    Step::Written if may_answer => {
                        if let Err(error) = udp.send(meta.addr, meta.dst_ip, &out) {
                            tracing::debug!(peer = %meta.addr, %error, "dns: not sent");
                            shared.counts.unsent.add("an answer could not be sent");
                        }
                    }
                    Step::Ignored => {}
                    Step::Written | Step::Wait(..) => later(&udp, &shared, &tasks, message, meta),
                }
            }
        }
        let served = engine.take_served();
        // The others are answered, and counted, later.
        if may_answer {
            shared.meters.served(served, began);
            shared.count_stale(served);
        }
    }
}

/// Has a question answered by a task of its own.
fn later(udp: &Arc<Udp>, shared: &Arc<Shared>, tasks: &TaskSet, message: &[u8], meta: &RecvMeta) {
    let Ok(query) = crate::query::Query::parse(message) else { return };
    let Ok(permit) = Arc::clone(&shared.waiting).try_acquire_owned() else {
        shared.counts.waiting.add("too many questions wait for others; one was dropped");
        return;
    };
    let (udp, shared) = (Arc::clone(udp), Arc::clone(shared));
    let (peer, from, message) = (meta.addr, meta.dst_ip, message.to_vec());
    tasks.spawn_cut("question", async move {
        let asker = Asker { transport: Transport::Udp, peer: peer.ip().to_canonical() };
        let answer = shared.finish(&message, &query, asker).await;
        udp.send_when_possible(peer, from, &answer).await;
        drop(permit);
    });
}
