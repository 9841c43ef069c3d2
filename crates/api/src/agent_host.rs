//! `/v1/agent/host`: the machine that the agent runs on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All of it; what could not be found out is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Host {
    /// Memory.
    pub memory: Option<Memory>,
    /// Processors.
    #[serde(rename = "CPU")]
    pub cpu: Option<Vec<Processor>>,
    /// The system.
    pub host: Option<System>,
    /// The file system of the root.
    pub disk: Option<Disk>,
    /// When it was looked at, in nanoseconds of Unix time.
    pub collection_time: i64,
    /// What could not be found out, and why.
    pub errors: Option<Vec<String>>,
}

/// Memory in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What programs can get without swapping.
    pub available: u64,
    /// What programs use.
    pub used: u64,
    /// The same as a part of all, in percent.
    pub used_percent: f64,
    /// What nobody uses.
    pub free: u64,
    /// What else the kernel tells, by name.
    #[serde(flatten)]
    pub more: BTreeMap<String, u64>,
}

/// A processor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Processor {
    /// Number, from 0 on.
    pub cpu: u32,
    /// Who made it.
    pub vendor_id: String,
    /// Family.
    pub family: String,
    /// Model.
    pub model: String,
    /// Stepping.
    pub stepping: u32,
    /// Number of the package that it is in.
    pub physical_id: String,
    /// Number of the core within that.
    pub core_id: String,
    /// Always 1.
    pub cores: u32,
    /// Name of the model.
    pub model_name: String,
    /// Clock rate in megahertz.
    pub mhz: f64,
    /// Cache in kibibytes.
    pub cache_size: u32,
    /// What it can do.
    pub flags: Vec<String>,
    /// Version of its microcode.
    pub microcode: String,
}

/// A running system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct System {
    /// Name of the host.
    pub hostname: String,
    /// Seconds since it was started.
    pub uptime: u64,
    /// When it was started, in seconds of Unix time.
    pub boot_time: u64,
    /// Processes that there are.
    pub procs: u64,
    /// Such as `linux`.
    pub os: String,
    /// Distribution, such as `debian`.
    pub platform: String,
    /// The distribution that it is made of, or itself.
    pub platform_family: String,
    /// Version of the distribution.
    pub platform_version: String,
    /// Release of the kernel.
    pub kernel_version: String,
    /// Architecture, such as `x86_64`.
    pub kernel_arch: String,
    /// Never known.
    pub virtualization_system: String,
    /// `guest` where a hypervisor runs it.
    pub virtualization_role: String,
    /// UUID of the installation.
    pub host_id: String,
}

/// A file system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Disk {
    /// Where it is mounted.
    pub path: String,
    /// Kind, such as `ext4`.
    pub fstype: String,
    /// Bytes that it has.
    pub total: u64,
    /// Bytes that are left.
    pub free: u64,
    /// Bytes in use.
    pub used: u64,
    /// The same as a part of what can be used, in percent.
    pub used_percent: f64,
    /// Files that it can have.
    pub inodes_total: u64,
    /// Files that it has.
    pub inodes_used: u64,
    /// Files that it can still have.
    pub inodes_free: u64,
    /// Files that it has as a part of all, in percent.
    pub inodes_used_percent: f64,
}
