//! Where the log goes and in which form.
//!
//! Its level is read by whoever starts it. Keys and defaults follow later versions of the original.

use std::time::Duration;

use super::decide::time;
use super::error::ConfigError;
use super::raw::Raw;
use crate::log::{Facility, LogFileSettings, LogSettings};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Decides everything about the log but its level.
pub(super) fn log(raw: &Raw) -> Result<LogSettings, ConfigError> {
    Ok(LogSettings {
        json: raw.bool("log_json").unwrap_or(false),
        file: file(raw)?,
        syslog: syslog(raw)?,
    })
}

fn file(raw: &Raw) -> Result<Option<LogFileSettings>, ConfigError> {
    let Some(path) = raw.text("log_file").filter(|path| !path.is_empty()) else { return Ok(None) };
    let key = "log_rotate_bytes";
    let rotate_bytes = u64::try_from(raw.int(key).unwrap_or(0)).map_err(|_| {
        ConfigError::at(raw.origin(key), format!("{key} must be 0, for any size, or greater"))
    })?;
    let rotate_after = match time(raw, "log_rotate_duration", DAY)? {
        Duration::ZERO => DAY,
        given => given,
    };
    let keep = raw.int("log_rotate_max_files").unwrap_or(0);
    Ok(Some(LogFileSettings { path: path.into(), rotate_after, rotate_bytes, keep }))
}

fn syslog(raw: &Raw) -> Result<Option<Facility>, ConfigError> {
    let key = "syslog_facility";
    let name = raw.text(key).filter(|name| !name.is_empty()).unwrap_or("LOCAL0");
    let facility = Facility::named(name).ok_or_else(|| {
        let text = format!("{key}: {name:?} is no facility such as LOCAL0 or DAEMON");
        ConfigError::at(raw.origin(key), text)
    })?;
    Ok((raw.bool("enable_syslog") == Some(true)).then_some(facility))
}
