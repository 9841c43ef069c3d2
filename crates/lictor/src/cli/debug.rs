//! `debug`: an archive of what an agent tells about itself, over a while.
//!
//! Files and their places are those of the original: what does not change at the root, figures and
//! log in folders named after the second. What the agent does not offer is left out, and said.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use lictor_api::client::Client;
use lictor_api::json;
use lictor_types::duration;
use serde_json::json;
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use super::child::Signals;
use super::flags::{FlagError, Kind, flag};
use super::output::reason;
use super::remote::client_or_fail;
use super::{Call, Command, Exit, err, fail, misused, out};

/// `lictor debug`.
pub(super) const COMMAND: Command = Command {
    path: "debug",
    synopsis: "Records what an agent tells about itself",
    operands: "[options]",
    about: "Records for a while what an agent tells about itself, and puts it into an archive. The \
        archive may hold what should not be public: only its owner may read it.",
    flags: &[
        flag("archive", Kind::Bool, "Make an archive, not a folder. Default: true."),
        flag(
            "capture",
            Kind::List,
            "What to record: metrics, logs, host, agent, cluster; may be repeated. Default: \
             everything that the agent offers.",
        ),
        flag("duration", Kind::Text, "How long to record. Default: 2m, at least 10s."),
        flag("interval", Kind::Text, "Pause between figures. Default: 30s, at least 5s."),
        flag("output", Kind::Text, "Name of the folder or archive, without ending."),
    ],
    client: true,
    server: false,
    run: |call| Box::pin(run(call)),
};

const DURATION: Duration = Duration::from_secs(120);
const DURATION_LEAST: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_secs(30);
const INTERVAL_LEAST: Duration = Duration::from_secs(5);
/// Time that is added so that the last figures are there.
const GRACE: Duration = Duration::from_secs(2);
const ENDING: &str = ".tar.gz";
/// Most bytes of log that are recorded.
const LOG_MAX: usize = 256 * 1024 * 1024;

/// What may be recorded, and where it is found; the log and figures are followed.
const TARGETS: &[(&str, &str)] = &[
    ("metrics", "/v1/agent/metrics"),
    ("logs", "/v1/agent/monitor"),
    ("pprof", ""),
    ("host", "/v1/agent/host"),
    ("agent", "/v1/agent/self"),
    ("cluster", "/v1/agent/members?wan=1"),
];

struct Recording {
    client: Client,
    folder: PathBuf,
    targets: Vec<&'static str>,
    interval: Duration,
    end: Instant,
}

fn time(call: &Call, name: &'static str, usual: Duration) -> Result<Duration, FlagError> {
    let Some(text) = call.parsed.text(name) else { return Ok(usual) };
    let bad = || FlagError::BadNumber { name: name.to_owned(), value: text.to_owned() };
    let nanos = duration::parse(text).map_err(|_| bad())?;
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| bad())
}

fn shown(time: Duration) -> String {
    duration::format(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
}

/// What is wrong with the times.
fn problem(time: Duration, interval: Duration) -> Option<String> {
    if time < DURATION_LEAST {
        return Some(format!("duration must be longer than {}", shown(DURATION_LEAST)));
    }
    if interval < INTERVAL_LEAST {
        return Some(format!("interval must be longer than {}", shown(INTERVAL_LEAST)));
    }
    (time < interval).then(|| {
        let (time, interval) = (shown(time), shown(interval));
        format!("duration ({time}) must be longer than interval ({interval})")
    })
}

async fn run(call: Call) -> Exit {
    if !call.parsed.operands.is_empty() {
        return fail("debug: Too many arguments provided, expected 0");
    }
    let times = || {
        let time_of = |name, usual| time(&call, name, usual);
        Ok::<_, FlagError>((time_of("duration", DURATION)?, time_of("interval", INTERVAL)?))
    };
    let (time, interval) = match times() {
        Ok(times) => times,
        Err(error) => return misused(call.command, error),
    };
    let refused = |text: String| fail(format!("==> Capture validation failed: {text}"));
    if let Some(problem) = problem(time, interval) {
        return refused(problem);
    }
    let client: Client = client_or_fail!(call);
    let version = match client.agent_self().await {
        Ok(info) => info.config.version,
        Err(error) => {
            let hint = "verify connectivity and agent address";
            return refused(format!("error querying target agent: {error}. {hint}"));
        }
    };
    let targets = match targets(&client, call.parsed.list("capture")).await {
        Ok(targets) => targets,
        Err(error) => return refused(error),
    };
    let usual = format!("consul-debug-{}", OffsetDateTime::now_utc().unix_timestamp());
    let output = call.parsed.text("output").unwrap_or(&usual).to_owned();
    let archive = call.parsed.bool_or("archive", true);
    let name = if archive { format!("{output}{ENDING}") } else { output.clone() };
    for path in [&output, &name] {
        if Path::new(path).exists() {
            return refused(format!("output directory already exists: {path}"));
        }
    }
    if let Err(error) = make_folder(Path::new(&output)) {
        return refused(format!("could not create output directory: {}", reason(&error)));
    }
    out("==> Starting debugger and capturing static information...");
    out(&format!("     Agent Version: '{version}'"));
    out(&format!("          Interval: '{}'", shown(interval)));
    out(&format!("          Duration: '{}'", shown(time)));
    out(&format!("            Output: '{name}'"));
    out(&format!("           Capture: '{}'", targets.join(", ")));
    let index = json!({
        "Version": 1, "AgentVersion": version, "Interval": shown(interval),
        "Duration": shown(time), "Targets": targets,
    });
    let end = Instant::now() + time + GRACE;
    let recording = Recording { client, folder: output.clone().into(), targets, interval, end };
    if let Err(error) = recording.whole().await {
        err(&format!("==> Error encountered during collection: {error}"));
    }
    let index = serde_json::to_vec(&index).unwrap_or_default();
    if let Err(error) = recording.save(&recording.folder, "index.json", &index) {
        return fail(format!("==> Error creating index document: {error}"));
    }
    if archive && let Err(error) = pack(&recording.folder, Path::new(&name)) {
        return fail(format!("==> Archive creation failed: {}", reason(&error)));
    }
    out(&format!("    Saved debug archive: {name}"));
    0
}

/// What is recorded: what was asked for, or all that the agent offers.
async fn targets(client: &Client, asked: &[String]) -> Result<Vec<&'static str>, String> {
    let known = |name: &str| TARGETS.iter().find(|(target, _)| *target == name);
    if let Some(name) = asked.iter().find(|name| known(name).is_none()) {
        return Err(format!("target not found: {name}"));
    }
    let mut targets = Vec::new();
    for (name, path) in TARGETS {
        if !asked.is_empty() && !asked.iter().any(|asked| asked == name) {
            continue;
        }
        // Figures of the program's inside are not made; the host may not be told about.
        let offered = match *name {
            "pprof" => false,
            "host" => client.send(client.get(path)).await.is_ok_and(|answer| answer.status == 200),
            _ => true,
        };
        if offered {
            targets.push(*name);
        } else {
            err(&format!("==> This agent does not offer {name}: it is left out"));
        }
    }
    if targets.is_empty() { Err("there is nothing to capture".to_owned()) } else { Ok(targets) }
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn make_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

impl Recording {
    fn wants(&self, target: &str) -> bool {
        self.targets.contains(&target)
    }

    fn save(&self, folder: &Path, name: &str, text: &[u8]) -> Result<(), String> {
        let path = folder.join(name);
        let shown = json::reformat(text, Some(4));
        make_file(&path)
            .and_then(|mut file| file.write_all(&shown))
            .map_err(|error| format!("open {}: {}", path.display(), reason(&error)))
    }

    /// A folder for what is recorded now.
    fn folder_of_now(&self) -> Result<PathBuf, String> {
        let folder = self.folder.join(OffsetDateTime::now_utc().unix_timestamp().to_string());
        let failed = |error: io::Error| format!("{}: {}", folder.display(), reason(&error));
        make_folder(&folder).map_err(failed)?;
        Ok(folder)
    }

    async fn fetch(&self, target: &str, folder: &Path) -> Result<(), String> {
        let Some((name, path)) = TARGETS.iter().find(|(name, _)| *name == target) else {
            return Ok(());
        };
        let answer = self.client.call(self.client.get(path)).await;
        let answer = answer.map_err(|error| error.to_string())?;
        self.save(folder, &format!("{name}.json"), &answer.body)
    }

    async fn whole(&self) -> Result<(), String> {
        for target in ["host", "agent", "cluster"].into_iter().filter(|target| self.wants(target)) {
            if let Err(error) = self.fetch(target, &self.folder).await {
                err(&format!("==> Static capture failed: {error}"));
            }
        }
        if !self.wants("metrics") && !self.wants("logs") {
            return Ok(());
        }
        let mut signals = Signals::new().map_err(|error| error.to_string())?;
        let both = async {
            let (figures, log) = tokio::join!(self.figures(), self.log());
            figures.and(log)
        };
        tokio::select! {
            done = both => done,
            _ = signals.end() => Err("stopping collection due to shutdown signal".to_owned()),
        }
    }

    /// Records figures at each interval.
    async fn figures(&self) -> Result<(), String> {
        if !self.wants("metrics") {
            return Ok(());
        }
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = 0;
        loop {
            tokio::select! {
                () = sleep_until(self.end) => return Ok(()),
                _ = ticks.tick() => {}
            }
            self.fetch("metrics", &self.folder_of_now()?).await?;
            out(&format!("==> Capture successful {} ({count})", OffsetDateTime::now_utc()));
            count += 1;
        }
    }

    /// Records the log until the end.
    async fn log(&self) -> Result<(), String> {
        if !self.wants("logs") {
            return Ok(());
        }
        let request = self.client.get("/v1/agent/monitor").pair("loglevel", "DEBUG");
        let stream = self.client.stream(request).await;
        let mut stream = stream.map_err(|error| error.to_string())?;
        let path = self.folder_of_now()?.join("consul.log");
        let failed = |error: io::Error| format!("{}: {}", path.display(), reason(&error));
        let mut file = make_file(&path).map_err(failed)?;
        let mut room = LOG_MAX;
        while let Ok(Ok(Some(piece))) = timeout_at(self.end, stream.next()).await {
            let piece = &piece[..piece.len().min(room)];
            file.write_all(piece).map_err(failed)?;
            room -= piece.len();
            if room == 0 {
                return Err(format!("more than {LOG_MAX} bytes of log: the rest is left out"));
            }
        }
        Ok(())
    }
}

/// Packs the folder into an archive and removes it.
fn pack(folder: &Path, archive: &Path) -> io::Result<()> {
    let mut temporary = archive.as_os_str().to_owned();
    temporary.push(".tmp");
    let packed = make_file(Path::new(&temporary)).and_then(|file| {
        let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        tar.append_dir_all(folder.file_name().unwrap_or_default(), folder)?;
        tar.into_inner()?.finish()?.sync_all()
    });
    match packed.and_then(|()| fs::rename(&temporary, archive)) {
        Ok(()) => fs::remove_dir_all(folder),
        Err(error) => {
            // What was made of it is of no use.
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_have_bounds() {
        let seconds = Duration::from_secs;
        assert_eq!(problem(seconds(10), seconds(5)), None);
        assert_eq!(problem(seconds(9), seconds(5)).unwrap(), "duration must be longer than 10s");
        assert_eq!(problem(seconds(10), seconds(4)).unwrap(), "interval must be longer than 5s");
        let text = "duration (10s) must be longer than interval (30s)";
        assert_eq!(problem(seconds(10), seconds(30)).unwrap(), text);
    }
}
