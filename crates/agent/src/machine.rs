//! The machine that the agent runs on, as the kernel tells it: memory, processors, system, disk.
//!
//! Facts keep the kernel's names where there are many of them; what cannot be read is left out, and
//! said. Only Linux tells most of it.

use std::collections::BTreeMap;
use std::fs;

use rustix::fs::statvfs;

/// Where the disk is looked at.
const DISK: &str = "/";

/// What is known of a machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    /// Bytes (or numbers of pages, for `HugePages_…`) by the names of `/proc/meminfo`.
    pub memory: Option<BTreeMap<String, u64>>,
    /// Facts of each processor by the names of `/proc/cpuinfo`.
    pub processors: Option<Vec<BTreeMap<String, String>>>,
    /// The system.
    pub system: Option<System>,
    /// The file system of the root.
    pub disk: Option<Disk>,
    /// What could not be found out, and why.
    pub problems: Vec<String>,
}

/// A running system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// Name of the host.
    pub hostname: String,
    /// Seconds since it was started.
    pub uptime: u64,
    /// When it was started, in seconds of Unix time.
    pub boot_time: u64,
    /// Processes that there are.
    pub processes: u64,
    /// Distribution, such as `debian`.
    pub platform: String,
    /// The distribution that it is made of, or itself.
    pub platform_family: String,
    /// Version of the distribution.
    pub platform_version: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Architecture, such as `x86_64`.
    pub architecture: String,
    /// Whether a hypervisor runs it.
    pub guest: bool,
    /// UUID of the installation, or what stands for it.
    pub id: String,
}

/// A file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Where it is mounted.
    pub path: String,
    /// Kind, such as `ext4`.
    pub kind: String,
    /// Bytes that it has.
    pub total: u64,
    /// Bytes that are left for anybody.
    pub free: u64,
    /// Bytes in use.
    pub used: u64,
    /// Files that it can have.
    pub files: u64,
    /// Files that it can still have.
    pub files_free: u64,
}

/// Looks at the machine. Reads files of the kernel: may take some milliseconds.
#[must_use]
pub(crate) fn look() -> Machine {
    let mut problems = Vec::new();
    let mut keep = |problem: String| problems.push(problem);
    let processors = read("/proc/cpuinfo").map(|text| processors(&text)).map_err(&mut keep).ok();
    let guest = processors.iter().flatten().any(|one| {
        one.get("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"))
    });
    let memory = read("/proc/meminfo").map(|text| memory(&text)).map_err(&mut keep).ok();
    let system = system(guest).map_err(&mut keep).ok();
    let disk = disk().map_err(&mut keep).ok();
    Machine { memory, processors, system, disk, problems }
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))
}

/// The first word of a file, if it can be read.
fn word(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.split_whitespace().next().map(str::to_owned)
}

fn memory(text: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let mut words = value.split_whitespace();
        let number: u64 = words.next()?.parse().ok()?;
        let unit = if words.next() == Some("kB") { 1024 } else { 1 };
        Some((name.to_owned(), number.saturating_mul(unit)))
    };
    text.lines().filter_map(line).collect()
}

fn processors(text: &str) -> Vec<BTreeMap<String, String>> {
    let fact = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    let blocks = text.split("\n\n").map(|block| block.lines().filter_map(fact).collect());
    blocks.filter(|facts: &BTreeMap<_, _>| facts.contains_key("processor")).collect()
}

fn system(guest: bool) -> Result<System, String> {
    let stat = read("/proc/stat")?;
    let boot_time = stat.lines().find_map(|line| line.strip_prefix("btime ")?.parse().ok());
    let uptime = read("/proc/uptime")?;
    let uptime = uptime.split('.').next().and_then(|seconds| seconds.parse().ok());
    let processes = fs::read_dir("/proc").map_err(|error| format!("cannot read /proc: {error}"))?;
    let is_process =
        |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let release = ["/etc/os-release", "/usr/lib/os-release"];
    let release = release.into_iter().find_map(|path| fs::read_to_string(path).ok());
    let release = release.unwrap_or_default();
    let platform = of_release(&release, "ID").unwrap_or_default();
    let family = of_release(&release, "ID_LIKE");
    let family = family.and_then(|family| family.split(' ').next().map(str::to_owned));
    let id =
        ["/sys/class/dmi/id/product_uuid", "/etc/machine-id", "/proc/sys/kernel/random/boot_id"];
    Ok(System {
        hostname: word("/proc/sys/kernel/hostname").unwrap_or_default(),
        uptime: uptime.unwrap_or_default(),
        boot_time: boot_time.unwrap_or_default(),
        processes: processes.flatten().filter(|entry| is_process(&entry.file_name())).count()
            as u64,
        platform_family: family.unwrap_or_else(|| platform.clone()),
        platform,
        platform_version: word("/etc/debian_version")
            .or_else(|| of_release(&release, "VERSION_ID"))
            .unwrap_or_default(),
        kernel: word("/proc/sys/kernel/osrelease").unwrap_or_default(),
        architecture: std::env::consts::ARCH.to_owned(),
        guest,
        id: id.into_iter().find_map(word).unwrap_or_default().to_lowercase(),
    })
}

/// A value of `/etc/os-release`, without its quotes.
fn of_release(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

fn disk() -> Result<Disk, String> {
    let found = statvfs(DISK).map_err(|error| format!("cannot look at the disk: {error}"))?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    Ok(Disk {
        path: DISK.to_owned(),
        kind: kind_of(&mounts, DISK).unwrap_or_default(),
        total: bytes(found.f_blocks),
        free: bytes(found.f_bavail),
        used: bytes(found.f_blocks.saturating_sub(found.f_bfree)),
        files: found.f_files,
        files_free: found.f_ffree,
    })
}

/// The kind of what is mounted somewhere; the last mount covers those before it.
fn kind_of(mounts: &str, path: &str) -> Option<String> {
    let mount = |line: &str| {
        let mut words = line.split(' ').skip(1);
        (words.next()? == path).then(|| words.next().map(str::to_owned))?
    };
    mounts.lines().rev().find_map(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_as_the_kernel_writes_them() {
        let found = memory("MemTotal:  1000 kB\nHugePages_Total:  3\nbroken\nAnon: x kB\n");
        assert_eq!(found, [("MemTotal".into(), 1_024_000), ("HugePages_Total".into(), 3)].into());
        let text = "processor\t: 0\nmodel name\t: A: B\n\nprocessor: 1\n\nHardware: x\n";
        let found = processors(text);
        assert_eq!((found.len(), &*found[0]["model name"]), (2, "A: B"));
        let release = "NAME=\"A B\"\nID=debian\nID_LIKE='x y'\n";
        assert_eq!(of_release(release, "ID").unwrap(), "debian");
        assert_eq!(of_release(release, "ID_LIKE").unwrap(), "x y");
        assert_eq!(of_release(release, "VERSION_ID"), None);
        let mounts = "a / rootfs rw 0 0\nb /x ext2 rw 0 0\nc / ext4 rw 0 0\nbad\n";
        assert_eq!(kind_of(mounts, "/").unwrap(), "ext4");
        assert_eq!(kind_of("", "/"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_all_of_it() {
        let found = look();
        assert_eq!(found.problems, Vec::<String>::new());
        assert!(found.memory.unwrap()["MemTotal"] > 0);
        assert!(!found.processors.unwrap().is_empty());
        let (system, disk) = (found.system.unwrap(), found.disk.unwrap());
        assert!(system.processes > 0 && system.boot_time > 0 && !system.kernel.is_empty());
        assert!(disk.total >= disk.used && disk.total > 0);
    }
}
