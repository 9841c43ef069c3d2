//! Where values come from: files and folders in order, flags, fragments of HCL on the command
//! line.
//!
//! Reads and joins; what follows from the joined values is [`super::decide`]'s. The order in
//! which sources count is the original's: flags that hold lists, files, all other flags, then
//! `-hcl` fragments.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lictor_types::duration;

use super::decode::decode;
use super::error::ConfigError;
use super::raw::{Item, Origin, Raw};
use super::schema::{Key, Shape};
use super::settings::SETTINGS;
use crate::cli::{Flag, Kind, Parsed, flag};

/// Largest file that is read, in bytes.
const FILE_MAX: u64 = lictor_hcl::MAX_BYTES as u64;

/// Flags of the agent that are no settings.
const OWN_FLAGS: &[Flag] = &[
    flag(
        "config-file",
        Kind::List,
        "File, or folder, to read configuration from; .hcl or .json. Can be given several times.",
    ),
    flag(
        "config-dir",
        Kind::List,
        "Folder whose .hcl and .json files are read in the order of their names. Can be given \
        several times, and mixed with -config-file.",
    ),
    flag(
        "config-format",
        Kind::Text,
        "hcl or json: the language of all files, whatever their names end in.",
    ),
    flag("dev", Kind::Bool, "Run a server for development, in memory only."),
    flag("hcl", Kind::List, "A fragment of HCL that counts after all else. Repeatable."),
];

const fn has_flag(key: &Key) -> bool {
    !key.flag.is_empty()
}

const fn settings_with_flags() -> usize {
    let (mut found, mut at) = (0, 0);
    while at < SETTINGS.len() {
        if has_flag(&SETTINGS[at]) {
            found += 1;
        }
        at += 1;
    }
    found
}

const FLAG_COUNT: usize = OWN_FLAGS.len() + settings_with_flags();

const fn all_flags() -> [Flag; FLAG_COUNT] {
    let mut all = [OWN_FLAGS[0]; FLAG_COUNT];
    let mut filled = 0;
    while filled < OWN_FLAGS.len() {
        all[filled] = OWN_FLAGS[filled];
        filled += 1;
    }
    let mut at = 0;
    while at < SETTINGS.len() {
        let key = &SETTINGS[at];
        if has_flag(key) {
            let kind = match key.shape {
                Shape::Bool => Kind::Bool,
                Shape::TextList | Shape::TextMap => Kind::List,
                _ => Kind::Text,
            };
            all[filled] = flag(key.flag, kind, key.doc);
            filled += 1;
        }
        at += 1;
    }
    all
}

/// The flags of `lictor agent`.
pub(crate) const AGENT_FLAGS: &[Flag] = &all_flags();

/// The language of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Hcl,
    Json,
}

impl Format {
    /// The language of that name; none when the name is empty.
    pub(super) fn named(name: Option<&str>) -> Result<Option<Self>, ConfigError> {
        match name {
            None | Some("") => Ok(None),
            Some("hcl") => Ok(Some(Self::Hcl)),
            Some("json") => Ok(Some(Self::Json)),
            Some(_) => {
                let text = "config: -config-format must be either 'hcl' or 'json'";
                Err(ConfigError::Invalid(text.to_owned()))
            }
        }
    }

    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "hcl" => Some(Self::Hcl),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Where configuration comes from, in the order it was given on the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// Files and folders.
    pub(super) paths: Vec<PathBuf>,
    /// The language of all files, when it was given.
    pub(super) format: Option<Format>,
    /// Values of flags that hold lists; they come before those of files.
    pub(super) lists: Raw,
    /// Values of all other flags.
    pub(super) values: Raw,
    /// Texts of `-hcl`.
    pub(super) fragments: Vec<String>,
    /// Development mode.
    pub(super) dev: bool,
}

impl Sources {
    /// What the command line says.
    ///
    /// # Errors
    /// When a value is not of its flag's type, or words follow the flags.
    pub(crate) fn from_flags(parsed: &Parsed) -> Result<Self, ConfigError> {
        if !parsed.operands.is_empty() {
            return Err(ConfigError::Extra(parsed.operands.clone()));
        }
        let mut sources = Self {
            paths: paths(parsed),
            format: Format::named(parsed.text("config-format"))?,
            fragments: parsed.list("hcl").to_vec(),
            dev: parsed.is_set("dev"),
            ..Self::default()
        };
        for key in SETTINGS.iter().filter(|key| has_flag(key)) {
            let given = parsed.list(key.flag);
            if given.is_empty() {
                continue;
            }
            let item = read_flag(key, given)?;
            let origin = Origin { source: format!("-{}", key.flag).into(), line: 0 };
            let into = match item {
                Item::List(_) => &mut sources.lists,
                _ => &mut sources.values,
            };
            into.insert(key.name, item, origin);
        }
        Ok(sources)
    }

    /// The files that there are now.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let found = self.paths.iter().filter_map(|path| files(path, self.format).ok());
        found.flatten().collect()
    }

    /// The files of a folder and nothing else.
    #[cfg(test)]
    pub(crate) fn of_folder(folder: &Path) -> Self {
        Self { paths: vec![folder.to_owned()], ..Self::default() }
    }

    /// Everything that was said, joined.
    pub(super) fn read(&self) -> Result<Raw, ConfigError> {
        let mut all = self.lists.clone();
        for path in &self.paths {
            for file in files(path, self.format)? {
                all.merge(read_file(&file, self.format)?);
            }
        }
        all.merge(self.values.clone());
        for fragment in &self.fragments {
            all.merge(read_text(fragment, Format::Hcl, "-hcl")?);
        }
        Ok(all)
    }
}

/// The values of `-config-file` and `-config-dir` in the order they were given.
fn paths(parsed: &Parsed) -> Vec<PathBuf> {
    let is_path = |name: &str| matches!(name, "config-file" | "config-dir");
    let given = parsed.in_order.iter().filter(|(name, _)| is_path(name));
    given.map(|(_, path)| PathBuf::from(path)).collect()
}

fn read_flag(key: &'static Key, given: &[String]) -> Result<Item, ConfigError> {
    let value = given.last().map(String::as_str).unwrap_or_default();
    let wrong = |reason: &str| ConfigError::Flag {
        name: key.flag,
        value: value.to_owned(),
        reason: reason.to_owned(),
    };
    Ok(match key.shape {
        Shape::Bool => Item::Bool(value == "true"),
        Shape::Int => Item::Int(value.parse().map_err(|_| wrong("parse error"))?),
        Shape::Float => Item::Float(value.parse().map_err(|_| wrong("parse error"))?),
        Shape::Duration => {
            Item::Duration(duration::parse(value).map_err(|error| wrong(&error.to_string()))?)
        }
        Shape::TextList => Item::List(given.to_vec()),
        Shape::TextMap => {
            let pair = |pair: &String| {
                let (name, value) = pair.split_once(':').unwrap_or((pair, ""));
                (name.to_owned(), value.to_owned())
            };
            Item::Map(given.iter().map(pair).collect())
        }
        _ => Item::Text(value.to_owned()),
    })
}

/// The files that `path` stands for: itself, or those of the folder by their names.
pub(super) fn files(path: &Path, format: Option<Format>) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.display().to_string(), source };
    let readable = |path: &Path| format.is_some() || Format::of(path).is_some();
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(if readable(path) { vec![path.to_owned()] } else { Vec::new() });
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        // Folders inside are not entered; a link that leads nowhere is named when it is read.
        if readable(&file) && !file.is_dir() {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

/// The values of one file.
pub(super) fn read_file(path: &Path, format: Option<Format>) -> Result<Raw, ConfigError> {
    let name = path.display().to_string();
    let failed = |source| ConfigError::Read { path: name.clone(), source };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > FILE_MAX {
        return Err(ConfigError::Invalid(format!("Error parsing {name}: the file is too long")));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let format = format.or_else(|| Format::of(path)).unwrap_or(Format::Hcl);
    read_text(&text, format, &name)
}

/// The values of a text.
pub(super) fn read_text(text: &str, format: Format, name: &str) -> Result<Raw, ConfigError> {
    if text.trim().is_empty() {
        return Ok(Raw::default());
    }
    let tree = match format {
        Format::Hcl => lictor_hcl::parse_hcl(text),
        Format::Json => lictor_hcl::parse_json(text),
    };
    let tree = tree.map_err(|error| ConfigError::Syntax { source_name: name.to_owned(), error })?;
    let source: Arc<str> = name.into();
    let mut raw = decode(SETTINGS, &tree, &source)
        .map_err(|mistakes| ConfigError::Mistakes { source_name: name.to_owned(), mistakes })?;
    // Each file may have one `service` and one `check`; among several files they add up.
    for (one, many) in [("service", "services"), ("check", "checks")] {
        if let Some((Item::Object(object), origin)) = raw.take(one) {
            let mut single = Raw::default();
            single.insert(many, Item::Objects(vec![object]), origin);
            raw.merge(single);
        }
    }
    Ok(raw)
}
