//! `/v1/agent/host`: the machine that the agent runs on, in the form of the original's library.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use lictor_agent::{Disk, Machine, System};
use lictor_api::agent_host as body;

use crate::answer::Answer;
use crate::door::{Call, Door};
use crate::error::HttpError;

/// What is shown of the kernel's figures of memory besides the main ones, by its own name.
const MEMORY: &[(&str, &str)] = &[
    ("active", "Active"),
    ("inactive", "Inactive"),
    ("buffers", "Buffers"),
    ("writeBack", "Writeback"),
    ("dirty", "Dirty"),
    ("writeBackTmp", "WritebackTmp"),
    ("shared", "Shmem"),
    ("slab", "Slab"),
    ("sreclaimable", "SReclaimable"),
    ("sunreclaim", "SUnreclaim"),
    ("pageTables", "PageTables"),
    ("swapCached", "SwapCached"),
    ("commitLimit", "CommitLimit"),
    ("committedAS", "Committed_AS"),
    ("highTotal", "HighTotal"),
    ("highFree", "HighFree"),
    ("lowTotal", "LowTotal"),
    ("lowFree", "LowFree"),
    ("swapTotal", "SwapTotal"),
    ("swapFree", "SwapFree"),
    ("mapped", "Mapped"),
    ("vmallocTotal", "VmallocTotal"),
    ("vmallocUsed", "VmallocUsed"),
    ("vmallocChunk", "VmallocChunk"),
    ("hugePagesTotal", "HugePages_Total"),
    ("hugePagesFree", "HugePages_Free"),
    ("hugePageSize", "Hugepagesize"),
    // Of other systems.
    ("wired", ""),
    ("laundry", ""),
];

pub(crate) async fn show(door: &Door, call: Call<'_>) -> Result<Answer, HttpError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let machine = door.agent().machine(&call.request.token()).await?;
    let shown = shown(machine, i64::try_from(now).unwrap_or(i64::MAX));
    Ok(Answer::json(&shown, call.pretty))
}

fn shown(machine: Machine, collection_time: i64) -> body::Host {
    body::Host {
        memory: machine.memory.as_ref().map(memory),
        cpu: machine.processors.map(|all| all.iter().map(processor).collect()),
        host: machine.system.map(system),
        disk: machine.disk.map(disk),
        collection_time,
        errors: (!machine.problems.is_empty()).then_some(machine.problems),
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

fn memory(known: &BTreeMap<String, u64>) -> body::Memory {
    let of = |name: &str| known.get(name).copied().unwrap_or_default();
    // What can be given back at any time is not in use.
    let cached = of("Cached").saturating_add(of("SReclaimable"));
    let (total, free) = (of("MemTotal"), of("MemFree"));
    let used = total.saturating_sub(free).saturating_sub(of("Buffers")).saturating_sub(cached);
    let mut more: BTreeMap<_, _> =
        MEMORY.iter().map(|(shown, name)| ((*shown).to_owned(), of(name))).collect();
    more.insert("cached".to_owned(), cached);
    let available = of("MemAvailable");
    body::Memory { total, available, used, used_percent: percent(used, total), free, more }
}

fn processor(facts: &BTreeMap<String, String>) -> body::Processor {
    let of = |name: &str| facts.get(name).cloned().unwrap_or_default();
    let number = |name: &str| of(name).split(' ').next().and_then(|n| n.parse().ok());
    body::Processor {
        cpu: number("processor").unwrap_or_default(),
        vendor_id: of("vendor_id"),
        family: of("cpu family"),
        model: of("model"),
        stepping: number("stepping").unwrap_or_default(),
        physical_id: of("physical id"),
        core_id: of("core id"),
        cores: 1,
        model_name: of("model name"),
        mhz: of("cpu MHz").parse().unwrap_or_default(),
        cache_size: number("cache size").unwrap_or_default(),
        flags: of("flags").split_whitespace().map(str::to_owned).collect(),
        microcode: of("microcode"),
    }
}

fn system(found: System) -> body::System {
    body::System {
        hostname: found.hostname,
        uptime: found.uptime,
        boot_time: found.boot_time,
        procs: found.processes,
        os: std::env::consts::OS.to_owned(),
        platform: found.platform,
        platform_family: found.platform_family,
        platform_version: found.platform_version,
        kernel_version: found.kernel,
        kernel_arch: found.architecture,
        virtualization_system: String::new(),
        virtualization_role: if found.guest { "guest" } else { "" }.to_owned(),
        host_id: found.id,
    }
}

fn disk(found: Disk) -> body::Disk {
    let used_files = found.files.saturating_sub(found.files_free);
    body::Disk {
        path: found.path,
        fstype: found.kind,
        total: found.total,
        free: found.free,
        used: found.used,
        used_percent: percent(found.used, found.used.saturating_add(found.free)),
        inodes_total: found.files,
        inodes_used: used_files,
        inodes_free: found.files_free,
        inodes_used_percent: percent(used_files, found.files),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_originals() {
        let memory = [("MemTotal", 1000), ("MemFree", 100), ("Cached", 200), ("SReclaimable", 50)];
        let facts = [("processor", "1"), ("cache size", "1024 KB"), ("flags", "a b")];
        let facts = facts.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let machine = Machine {
            memory: Some(memory.map(|(name, value)| (name.to_owned(), value)).into()),
            processors: Some(vec![facts.into()]),
            disk: Some(Disk { total: 10, free: 3, used: 1, files: 4, ..Disk::default() }),
            problems: vec!["cannot read x".to_owned()],
            ..Machine::default()
        };
        let shown = serde_json::to_value(shown(machine, 7)).unwrap();
        assert_eq!(shown["Memory"]["used"], 650);
        assert_eq!(shown["Memory"]["usedPercent"], 65.0);
        assert_eq!(shown["Memory"]["cached"], 250);
        assert_eq!(shown["Memory"].as_object().unwrap().len(), 5 + MEMORY.len() + 1);
        assert_eq!(shown["CPU"][0]["cacheSize"], 1024);
        assert_eq!(shown["CPU"][0]["flags"], serde_json::json!(["a", "b"]));
        assert_eq!(shown["Disk"]["usedPercent"], 25.0);
        assert_eq!(shown["Disk"]["inodesUsedPercent"], 100.0);
        assert_eq!(shown["Host"], serde_json::Value::Null);
        assert_eq!(
            (&shown["CollectionTime"], &shown["Errors"][0]),
            (&7.into(), &"cannot read x".into())
        );
    }
}
