//! A place for each node: a network of its own where that can be made, else an address of the loopback.
//!
//! A network is a namespace that lives as long as a process in it waits for the end of its input; the
//! test holds the other end. So nothing is left on the machine, however the test ends: the namespace with
//! its mounts goes with that process, and the devices with the test's. Clients have a port of the switch
//! that no fault touches.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::switch::{Links, Switch, device};

/// The size of a node's file system, in megabytes.
const DISK: u32 = 96;

/// Where the nodes of a cluster live.
#[derive(Debug)]
pub(crate) struct Network {
    places: Vec<Place>,
    /// Where the test itself is found by the nodes.
    pub(crate) own: String,
    links: Option<Links>,
    // Before the namespaces, whose devices it has.
    switch: Option<Switch>,
}

/// Where one node lives.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) address: String,
    space: Option<Space>,
}

/// A namespace of network and mounts, held by a process.
#[derive(Debug)]
struct Space {
    holder: Child,
}

impl Drop for Space {
    fn drop(&mut self) {
        // Its input ends.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

impl Space {
    fn make() -> io::Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--", "sh", "-c", "echo here; exec cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = command.spawn()?;
        // The first word says that it is inside.
        let mut word = [0; 5];
        let said = holder.stdout.as_mut().map(|out| io::Read::read_exact(out, &mut word));
        let space = Self { holder };
        match said {
            Some(Ok(())) if &word == b"here\n" => Ok(space),
            _ => Err(io::Error::other("namespaces cannot be made")),
        }
    }

    fn enter(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--target", &self.holder.id().to_string(), "--"]);
        command.arg(program);
        command
    }

    /// How the test sees a path of the namespace.
    fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Place {
    /// A command that runs there.
    pub(crate) fn command(&self, program: &Path) -> Command {
        match &self.space {
            Some(space) => space.enter(program),
            None => Command::new(program),
        }
    }

    /// Gives a folder a small file system of its own; whether that could be done.
    pub(crate) fn mount(&self, folder: &Path) -> bool {
        let Some(space) = &self.space else { return false };
        let size = format!("size={DISK}m,mode=700");
        let mut command = space.enter("mount");
        command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder);
        command.output().is_ok_and(|done| done.status.success())
    }

    /// A path as the node has it, for the test to open.
    pub(crate) fn seen(&self, path: &Path) -> PathBuf {
        self.space.as_ref().map_or_else(|| path.to_owned(), |space| space.seen(path))
    }
}

impl Network {
    /// Places for `nodes`; on loopback where nothing better can be made, which is said.
    pub(crate) fn make(nodes: usize, seed: u64) -> Self {
        let wanted = std::env::var_os("CLUSTER_LOOPBACK").is_none();
        let separate = || Self::separate(nodes, seed);
        let refused = || Err(io::Error::other("CLUSTER_LOOPBACK is set"));
        match if wanted { separate() } else { refused() } {
            Ok(network) => network,
            Err(error) => {
                lictor_testkit::skipped(
                    "faults of the network and full disks",
                    &format!("nodes cannot have networks of their own: {error}"),
                );
                Self::loopback(nodes)
            }
        }
    }

    /// The places of the nodes.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// The cables between nodes, where there are any.
    pub(crate) fn links(&self) -> Option<&Links> {
        self.links.as_ref()
    }

    fn loopback(nodes: usize) -> Self {
        // Clusters of tests that run side by side have different addresses.
        let mut chance = fastrand::Rng::new();
        let (high, low) = (chance.u8(1..=254), chance.u8(1..=254));
        let place = |at| Place { address: format!("127.{high}.{low}.{at}"), space: None };
        let own = format!("127.{high}.{low}.{}", nodes + 1);
        Self { places: (1..=nodes).map(place).collect(), own, links: None, switch: None }
    }

    fn separate(nodes: usize, seed: u64) -> io::Result<Self> {
        // Tests side by side must not have the same addresses.
        let mut chance = fastrand::Rng::new();
        let (high, low) = (chance.u8(64..128), chance.u8(1..=254));
        // Inside 100.64.0.0/10, which no machine on the Internet has.
        let net = format!("100.{high}.{low}");
        let (mut places, mut taps) = (Vec::new(), Vec::new());
        for at in 0..=nodes {
            let (tap, name) = device()?;
            taps.push(tap);
            if at < nodes {
                let space = Space::make()?;
                let pid = space.holder.id().to_string();
                run(Command::new("ip").args(["link", "set", &name, "netns", &pid]))?;
                let address = format!("{net}.{}", at + 1);
                batch(space.enter("ip"), &lines(&net, at, nodes, &name))?;
                places.push(Place { address, space: Some(space) });
            } else {
                batch(Command::new("ip"), &lines(&net, at, nodes, &name))?;
            }
        }
        let links = Links::new(taps.len());
        let switch = Switch::start(taps, links.clone(), seed)?;
        let own = format!("{net}.{}", nodes + 1);
        Ok(Self { places, own, links: Some(links), switch: Some(switch) })
    }

    /// Whether nodes have networks of their own.
    pub(crate) fn is_separate(&self) -> bool {
        self.switch.is_some()
    }
}

/// What `ip` does for one port: its addresses, and where everybody else is.
fn lines(net: &str, at: usize, nodes: usize, device: &str) -> String {
    let mut text = format!(
        "link set dev {device} address 02:00:00:00:00:{at:02x}\nlink set dev {device} up\n\
         address add {net}.{}/24 dev {device}\n",
        at + 1
    );
    if at < nodes {
        text.push_str("link set dev lo up\n");
    }
    for other in (0..=nodes).filter(|other| *other != at) {
        text.push_str(&format!(
            "neighbour replace {net}.{} lladdr 02:00:00:00:00:{other:02x} dev {device} nud permanent\n",
            other + 1
        ));
    }
    text
}

fn run(command: &mut Command) -> io::Result<()> {
    let done = command.stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
}

/// Runs many of `ip`'s commands at once.
fn batch(mut ip: Command, text: &str) -> io::Result<()> {
    ip.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = ip.spawn()?;
    if let Some(mut input) = child.stdin.take() {
        io::Write::write_all(&mut input, text.as_bytes())?;
    }
    let done = child.wait_with_output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
}

/// How long a node without any program takes to refuse a connection; nothing when it does not.
#[cfg(test)]
fn refused(address: &str) -> Option<std::time::Duration> {
    use std::time::{Duration, Instant};
    let start = Instant::now();
    let target = std::net::SocketAddr::new(address.parse().ok()?, 1);
    let error = std::net::TcpStream::connect_timeout(&target, Duration::from_millis(700)).err()?;
    (error.kind() == io::ErrorKind::ConnectionRefused).then(|| start.elapsed())
}

#[test]
fn cables_do_what_they_are_told_and_go_with_the_test() {
    use std::time::Duration;
    let network = Network::make(2, 1);
    let Some(links) = network.links() else { return };
    let node = network.places()[0].address.clone();
    let own = network.places().len();
    assert!(refused(&node).is_some(), "the node can be reached");
    for (from, to) in [(own, 0), (0, own)] {
        links.set(from, to, |link| link.cut = true);
        assert_eq!(refused(&node), None, "nothing passes when {from} to {to} is cut");
        assert!(refused(&network.places()[1].address).is_some(), "others are not touched");
        links.clear();
        assert!(refused(&node).is_some(), "it passes again");
        links.set(from, to, |link| link.lost = 100);
        assert_eq!(refused(&node), None, "all is lost");
        links.clear();
        links.set(from, to, |link| (link.delay, link.doubled) = (120, 100));
        let time = refused(&node);
        assert!(time.is_some_and(|time| time >= Duration::from_millis(120)), "{time:?}");
        links.clear();
    }
    let pids: Vec<u32> =
        network.places().iter().filter_map(|p| p.space.as_ref()).map(|s| s.holder.id()).collect();
    drop(network);
    assert_eq!(refused(&node), None, "the way to the node is gone");
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}/ns/net")).exists(), "the namespace is gone");
    }
}
