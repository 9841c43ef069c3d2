//! A switch in user space: the cable of every node ends here, and what each of them carries is decided by
//! a table that the nemesis changes.
//!
//! A node's interface is a TAP device whose other side is read here. So loss, delay, duplicates and cuts
//! in one direction need nothing of the kernel but TAP devices, and chance comes from a seed. Frames go
//! by the number in their address (`02:00:00:00:00:n`); everybody knows everybody's, so that broadcasts
//! are dropped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tappers::Tap;

/// Frames that may wait for their time; more are lost, as in a full router.
const WAITING: usize = 20_000;
/// Frames that are taken from one cable before the next has its turn.
const TURN: usize = 64;
/// How often the switch looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// A full frame of Ethernet, with room.
const FRAME: usize = 2048;

/// What a cable does to frames in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Nothing passes.
    pub(crate) cut: bool,
    /// Of a hundred frames.
    pub(crate) lost: u8,
    /// Of a hundred frames.
    pub(crate) doubled: u8,
    /// Least time on the way, in milliseconds.
    pub(crate) delay: u32,
    /// What chance adds to it at most, in milliseconds; so frames overtake each other.
    pub(crate) jitter: u32,
}

/// The cables from everybody to everybody.
#[derive(Debug, Clone)]
pub(crate) struct Links(Arc<Mutex<Vec<Vec<Link>>>>);

impl Links {
    pub(crate) fn new(ports: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![vec![Link::default(); ports]; ports])))
    }

    /// Changes one direction.
    pub(crate) fn set(&self, from: usize, to: usize, change: impl FnOnce(&mut Link)) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut table[from][to]);
    }

    /// Makes all of them good again.
    pub(crate) fn clear(&self) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.iter_mut().flatten().for_each(|link| *link = Link::default());
    }

    fn get(&self, from: usize, to: usize) -> Link {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[from][to]
    }
}

/// The running switch; it ends when dropped, and the devices with it.
#[derive(Debug)]
pub(crate) struct Switch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// Starts it on the devices of the ports, by their numbers.
    pub(crate) fn start(mut ports: Vec<Tap>, links: Links, seed: u64) -> io::Result<Self> {
        for port in &mut ports {
            port.set_nonblocking(true)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let chance = fastrand::Rng::with_seed(seed);
        let forward = Forward { ports, links, chance, waiting: BinaryHeap::new(), number: 0 };
        let thread = std::thread::Builder::new()
            .name("switch".to_owned())
            .spawn(move || forward.run(&seen))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A new device, and its name.
pub(crate) fn device() -> io::Result<(Tap, String)> {
    let tap = Tap::new()?;
    let name = tap.name()?.name().to_string_lossy().into_owned();
    Ok((tap, name))
}

/// A frame that waits: when it is due, the order among equals, where it goes.
type Waiting = Reverse<(Instant, u64, usize, Vec<u8>)>;

struct Forward {
    ports: Vec<Tap>,
    links: Links,
    chance: fastrand::Rng,
    waiting: BinaryHeap<Waiting>,
    number: u64,
}

impl Forward {
    fn run(mut self, stop: &AtomicBool) {
        let mut buffer = [0; FRAME];
        while !stop.load(Ordering::Relaxed) {
            let due = self.waiting.peek().map(|Reverse((at, ..))| *at);
            let patience =
                due.map_or(LOOK, |at| at.saturating_duration_since(Instant::now()).min(LOOK));
            for from in self.readable(patience) {
                for _ in 0..TURN {
                    let Ok(length) = self.ports[from].recv(&mut buffer) else { break };
                    self.take(from, &buffer[..length]);
                }
            }
            self.deliver();
        }
    }

    fn readable(&self, patience: Duration) -> Vec<usize> {
        let mut asked: Vec<_> =
            self.ports.iter().map(|port| PollFd::new(port, PollFlags::IN)).collect();
        let patience = Timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
        if poll(&mut asked, Some(&patience)).is_err() {
            return Vec::new();
        }
        let ready = |(at, asked): (usize, &PollFd<'_>)| (!asked.revents().is_empty()).then_some(at);
        asked.iter().enumerate().filter_map(ready).collect()
    }

    fn take(&mut self, from: usize, frame: &[u8]) {
        let Some(to) = target(frame).filter(|to| *to < self.ports.len()) else { return };
        let link = self.links.get(from, to);
        if link.cut || self.chance.u8(0..100) < link.lost {
            return;
        }
        let copies = 1 + usize::from(self.chance.u8(0..100) < link.doubled);
        for _ in 0..copies {
            if link.delay == 0 && link.jitter == 0 {
                let _ = self.ports[to].send(frame);
            } else if self.waiting.len() < WAITING {
                let wait = link.delay + self.chance.u32(0..=link.jitter);
                let due = Instant::now() + Duration::from_millis(wait.into());
                self.number += 1;
                self.waiting.push(Reverse((due, self.number, to, frame.to_vec())));
            }
        }
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, ..))) = self.waiting.peek()
            && *due <= now
        {
            if let Some(Reverse((_, _, to, frame))) = self.waiting.pop() {
                let _ = self.ports[to].send(&frame);
            }
        }
    }
}

/// The number of the port that a frame is for.
fn target(frame: &[u8]) -> Option<usize> {
    match frame {
        [2, 0, 0, 0, 0, port, ..] => Some(usize::from(*port)),
        _ => None,
    }
}
