//! One agent of a cluster: its files, its process, and what can be done to it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lictor_testkit::{Program, Signal, binary};
use serde_json::Value;

use crate::network::Place;

/// How long an agent that was told to end may take.
const END: Duration = Duration::from_secs(30);

/// Where clients find a node, and which of its lives it is in.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// `address:port` of the HTTP API.
    pub(crate) http: String,
    pub(crate) is_server: bool,
    life: Arc<AtomicU64>,
}

impl Door {
    /// Counts the starts of its process.
    pub(crate) fn life(&self) -> u64 {
        self.life.load(Ordering::SeqCst)
    }
}

/// One agent.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) door: Door,
    folder: PathBuf,
    program: Option<Program>,
    paused: bool,
    /// What is run.
    pub(crate) binary: PathBuf,
    /// Whether its data are on a small file system of their own.
    pub(crate) has_disk: bool,
    /// A library that shifts the clock, and the file that says by how much.
    clock: Option<(PathBuf, PathBuf)>,
}

impl Node {
    /// Writes its configuration into a folder of its own below `cluster`.
    pub(crate) fn prepare(
        place: &Place,
        cluster: &Path,
        name: &str,
        config: &Value,
        faketime: Option<&Path>,
    ) -> Self {
        let folder = cluster.join(name);
        std::fs::create_dir_all(folder.join("data")).expect("the cluster's folder can be written");
        let has_disk = place.mount(&folder.join("data"));
        let mut config = config.clone();
        config["node_name"] = name.into();
        config["data_dir"] = folder.join("data").display().to_string().into();
        config["bind_addr"] = place.address.as_str().into();
        config["client_addr"] = place.address.as_str().into();
        std::fs::write(folder.join("agent.json"), config.to_string()).expect("a file");
        let clock = faketime.map(|library| (library.to_owned(), folder.join("clock")));
        let door = Door {
            http: format!("{}:8500", place.address),
            is_server: config["server"] == true,
            life: Arc::default(),
        };
        let address = place.address.clone();
        let name = name.to_owned();
        let binary = binary();
        let node = Self {
            binary,
            name,
            address,
            door,
            folder,
            program: None,
            paused: false,
            has_disk,
            clock,
        };
        node.shift_clock(0);
        node
    }

    /// Merges settings into its configuration, for its next start.
    pub(crate) fn configure(&self, extra: &Value) {
        let file = self.folder.join("agent.json");
        let text = std::fs::read(&file).expect("its configuration can be read");
        let mut config: Value = serde_json::from_slice(&text).expect("JSON");
        if let (Some(config), Some(extra)) = (config.as_object_mut(), extra.as_object()) {
            config.extend(extra.clone());
        }
        std::fs::write(file, config.to_string()).expect("its configuration can be written");
    }

    /// Starts its process, unless it runs.
    pub(crate) fn start(&mut self, place: &Place) {
        if self.program.is_some() {
            return;
        }
        self.door.life.fetch_add(1, Ordering::SeqCst);
        let mut command = place.command(&self.binary);
        command.arg("agent").arg("-config-file").arg(self.folder.join("agent.json"));
        if let Some((library, file)) = &self.clock {
            // Only the time of day: timers go by the clock that never jumps.
            command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", file);
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_CACHE_DURATION", "1");
        }
        let log = self.folder.join("agent.log");
        self.program = Some(Program::start(&mut command, &log).expect("the binary can be started"));
    }

    /// Ends its process as a failure of the machine would.
    pub(crate) fn kill(&mut self) {
        self.resume();
        if let Some(mut program) = self.program.take() {
            program.kill();
        }
    }

    /// Tells it to end, and waits for that.
    pub(crate) fn stop(&mut self) {
        self.resume();
        if let Some(mut program) = self.program.take() {
            program.signal(Signal::TERM);
            program.wait(END);
        }
    }

    /// Has it read its configuration again.
    pub(crate) fn reload(&self) {
        if let Some(program) = &self.program {
            program.signal(Signal::HUP);
        }
    }

    /// It does nothing any more, and nobody is told.
    pub(crate) fn pause(&mut self) {
        if let Some(program) = &self.program {
            program.signal(Signal::STOP);
            self.paused = true;
        }
    }

    /// It goes on after a pause.
    pub(crate) fn resume(&mut self) {
        if let Some(program) = self.program.as_ref().filter(|_| self.paused) {
            program.signal(Signal::CONT);
        }
        self.paused = false;
    }

    /// Whether it runs; one that ended by itself has failed.
    pub(crate) fn ended_by_itself(&mut self) -> bool {
        self.program.as_mut().is_some_and(|program| program.ended().is_some())
    }

    /// Leaves its disk without space.
    pub(crate) fn fill_disk(&self, place: &Place) {
        let path = place.seen(&self.folder.join("data/filler"));
        if let Ok(mut file) = File::options().create(true).append(true).open(path) {
            for size in [1 << 20, 1 << 12, 1] {
                while file.write_all(&vec![0; size]).is_ok() {}
            }
        }
    }

    /// Gives the space back.
    pub(crate) fn free_disk(&self, place: &Place) {
        let _ = std::fs::remove_file(place.seen(&self.folder.join("data/filler")));
    }

    /// Whether the time of day can be shifted.
    pub(crate) fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    /// Shifts its time of day by seconds from the true one.
    pub(crate) fn shift_clock(&self, seconds: i64) {
        if let Some((_, file)) = &self.clock {
            let _ = std::fs::write(file, format!("{seconds:+}\n"));
        }
    }

    /// What it has printed in all its lives.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }
}
