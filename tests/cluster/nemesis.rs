//! Faults, chosen by a seed: one or two at a time, each of which ends.
//!
//! What cannot be done on this machine is not chosen. What was done and when is kept for the reader of a
//! failed run.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, tail};

/// Something that goes wrong and ends; servers go by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The processes are killed, and started again at the end.
    Kill(Vec<usize>),
    /// The process is told to end, and started again at once.
    Restart(usize),
    /// The processes stand still.
    Pause(Vec<usize>),
    /// Those inside and those outside do not hear each other; clients reach both.
    Split(Vec<usize>),
    /// The others do not hear it, but it hears them.
    Mute(usize),
    /// It does not hear the others, but they hear it.
    Deaf(usize),
    /// One does not hear one other.
    OneWay(usize, usize),
    /// So many of a hundred frames are lost between all.
    Loss(u8),
    /// Milliseconds at least, and what chance adds, between all.
    Slow(u32, u32),
    /// So many of a hundred frames come twice and late, between all.
    Doubled(u8),
    /// No space on the disk.
    FullDisk(usize),
    /// The time of day jumps by seconds.
    Clock(usize, i64),
}

/// What breaks a cluster.
#[derive(Debug)]
pub(crate) struct Nemesis {
    chance: fastrand::Rng,
    start: Instant,
    /// Seconds since the start, and what was done.
    pub(crate) done: Vec<String>,
    /// Agents that have ended by themselves, with the ends of their logs.
    pub(crate) ended: Vec<String>,
}

impl Nemesis {
    pub(crate) fn new(seed: u64, start: Instant) -> Self {
        Self { chance: fastrand::Rng::with_seed(seed), start, done: Vec::new(), ended: Vec::new() }
    }

    /// Breaks and mends until `end`; everything is well again afterwards.
    pub(crate) fn run(&mut self, cluster: &mut Cluster, end: Instant) {
        loop {
            self.wait(end, 200..1800);
            if Instant::now() >= end {
                break;
            }
            let mut faults = vec![self.choose(cluster)];
            if self.chance.u8(0..4) == 0 {
                let second = self.choose(cluster);
                faults.extend((second != faults[0]).then_some(second));
            }
            for fault in &faults {
                self.begin(cluster, fault);
                self.wait(end, 0..800);
            }
            self.wait(end, 300..5500);
            for fault in &faults {
                self.end(cluster, fault);
            }
        }
        self.mend(cluster);
    }

    /// Lets time pass, but not beyond the end.
    fn wait(&mut self, end: Instant, milliseconds: std::ops::Range<u64>) {
        let time = Duration::from_millis(self.chance.u64(milliseconds));
        std::thread::sleep(time.min(end.saturating_duration_since(Instant::now())));
    }

    /// Some server; every other time the leader.
    fn victim(&mut self, cluster: &Cluster) -> usize {
        let any = self.chance.usize(cluster.servers());
        if self.chance.bool() { cluster.leader().unwrap_or(any) } else { any }
    }

    fn choose(&mut self, cluster: &Cluster) -> Fault {
        let servers = cluster.servers().len();
        let one = self.victim(cluster);
        let other = (one + 1 + self.chance.usize(0..servers.max(2) - 1)) % servers;
        // Client agents fail as well, but less often.
        let any = self.chance.usize(0..cluster.nodes.len());
        let one = if self.chance.u8(0..8) == 0 { any } else { one };
        let mut several: Vec<usize> = cluster.servers().collect();
        self.chance.shuffle(&mut several);
        let minority = several[..servers / 2].to_vec();
        let separate = cluster.network.is_separate();
        loop {
            return match self.chance.u8(0..20) {
                0..=2 => Fault::Kill(vec![one]),
                3 => Fault::Kill(if self.chance.bool() { minority } else { several }),
                4 => Fault::Restart(one),
                5..=7 => Fault::Pause(if self.chance.bool() { vec![one] } else { minority }),
                8..=9 if separate => Fault::Split(vec![one]),
                10..=11 if separate => Fault::Split(minority),
                12 if separate => Fault::Mute(one),
                13 if separate => Fault::Deaf(one),
                14 if separate => Fault::OneWay(one, other),
                15 if separate => Fault::Loss(self.chance.u8(1..=30)),
                16 if separate => Fault::Slow(self.chance.u32(1..150), self.chance.u32(0..150)),
                17 if separate => Fault::Doubled(self.chance.u8(1..30)),
                18 if cluster.nodes[one].has_disk => Fault::FullDisk(one),
                19 if cluster.nodes[one].has_clock() => {
                    let far = [-86_400, -3600, -30, -2, 2, 30, 3600, 86_400];
                    Fault::Clock(one, self.chance.choice(far).unwrap_or(30))
                }
                _ => continue,
            };
        }
    }

    /// Keeps what was done.
    pub(crate) fn note(&mut self, text: &str) {
        self.done.push(format!("{:8.3} {text}", self.start.elapsed().as_secs_f64()));
    }

    /// Breaks something.
    pub(crate) fn begin(&mut self, cluster: &mut Cluster, fault: &Fault) {
        self.note(&format!("begin {fault:?}"));
        match fault {
            Fault::Kill(nodes) => nodes.iter().for_each(|at| cluster.nodes[*at].kill()),
            Fault::Restart(at) => {
                cluster.nodes[*at].stop();
                cluster.start_node(*at);
            }
            Fault::Pause(nodes) => nodes.iter().for_each(|at| cluster.nodes[*at].pause()),
            Fault::FullDisk(at) => {
                cluster.nodes[*at].fill_disk(&cluster.network.places()[*at]);
            }
            Fault::Clock(at, seconds) => cluster.nodes[*at].shift_clock(*seconds),
            _ => change_links(cluster, fault),
        }
    }

    /// Mends it.
    pub(crate) fn end(&mut self, cluster: &mut Cluster, fault: &Fault) {
        self.note(&format!("end {fault:?}"));
        match fault {
            Fault::Kill(nodes) => nodes.iter().for_each(|at| cluster.start_node(*at)),
            Fault::Restart(_) => {}
            Fault::Pause(nodes) => nodes.iter().for_each(|at| cluster.nodes[*at].resume()),
            Fault::FullDisk(at) => {
                cluster.nodes[*at].free_disk(&cluster.network.places()[*at]);
                self.start_again(cluster, *at);
            }
            Fault::Clock(at, _) => cluster.nodes[*at].shift_clock(0),
            _ => {
                if let Some(links) = cluster.network.links() {
                    links.clear();
                }
            }
        }
    }

    /// Makes everything well, whatever it was.
    pub(crate) fn mend(&mut self, cluster: &mut Cluster) {
        if let Some(links) = cluster.network.links() {
            links.clear();
        }
        for at in 0..cluster.nodes.len() {
            cluster.nodes[at].resume();
            cluster.nodes[at].free_disk(&cluster.network.places()[at]);
            cluster.nodes[at].shift_clock(0);
            self.start_again(cluster, at);
            cluster.start_node(at);
        }
        self.note("all well");
    }

    /// Starts an agent that has ended by itself, which is kept: none of these faults is a reason to.
    fn start_again(&mut self, cluster: &mut Cluster, at: usize) {
        let node = &mut cluster.nodes[at];
        if node.ended_by_itself() {
            let text = format!("{} has ended by itself:\n{}", node.name, tail(&node.log()));
            node.kill();
            self.note(&text);
            self.ended.push(text);
            cluster.start_node(at);
        }
    }
}

/// Changes the cables between nodes; those to the clients stay good.
fn change_links(cluster: &Cluster, fault: &Fault) {
    let Some(links) = cluster.network.links() else { return };
    let nodes = cluster.nodes.len();
    for from in 0..nodes {
        for to in (0..nodes).filter(|to| *to != from) {
            links.set(from, to, |link| match fault {
                Fault::Split(inside) => link.cut |= inside.contains(&from) != inside.contains(&to),
                Fault::Mute(at) => link.cut |= from == *at,
                Fault::Deaf(at) => link.cut |= to == *at,
                Fault::OneWay(one, other) => link.cut |= (from, to) == (*one, *other),
                Fault::Loss(percent) => link.lost = *percent,
                Fault::Slow(least, more) => (link.delay, link.jitter) = (*least, *more),
                Fault::Doubled(percent) => (link.doubled, link.jitter) = (*percent, 5),
                _ => {}
            });
        }
    }
}
