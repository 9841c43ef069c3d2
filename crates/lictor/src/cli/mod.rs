//! The command line: the table of commands, how one is found, and what a usage text looks like.
//!
//! Each command is one file; it reaches the agent only through the `api` crate. Names, flags,
//! output and exit codes are the original's, since scripts depend on them.

mod flags;
mod output;
mod remote;

mod acl;
mod acl_auth;
mod acl_format;
mod acl_policy;
mod acl_role;
mod acl_token;
mod catalog;
mod child;
mod completion;
mod config_entry;
mod connect_ca;
mod connect_proxy;
mod debug;
mod event;
mod exec;
mod info;
mod intention;
mod intention_create;
mod keygen;
mod keyring;
mod kv_export;
mod kv_read;
mod kv_write;
mod lock;
mod login;
mod maint;
mod members;
mod monitor;
mod operate;
mod operator_autopilot;
mod operator_raft;
mod rtt;
mod services;
mod snapshot;
mod tls;
mod validate;
mod version;
mod watch;

use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::OnceLock;

pub(crate) use child::shell;
pub(crate) use completion::answer as complete;
pub(crate) use flags::{Flag, FlagError, Kind, Parsed, flag};
pub(crate) use version::{COMPATIBLE_VERSION, text as version_text};

/// Names that the program may be installed under.
const OWN: &str = "lictor";
const ORIGINAL: &str = "consul";

/// The exit code of a command: 0 for success, 1 for an error, others where documented.
pub(crate) type Exit = u8;
type Running = Pin<Box<dyn Future<Output = Exit>>>;

/// A command.
pub(crate) struct Command {
    /// Its words, such as `kv get`.
    path: &'static str,
    /// One line for the list of commands.
    synopsis: &'static str,
    /// What follows the words in the usage line.
    operands: &'static str,
    /// A paragraph for its usage text.
    about: &'static str,
    /// Its own flags.
    flags: &'static [Flag],
    /// Whether it talks to an agent.
    client: bool,
    /// Whether it takes `-datacenter` and `-stale`.
    server: bool,
    run: fn(Call) -> Running,
}

/// A command with what was typed.
pub(crate) struct Call {
    command: &'static Command,
    parsed: Parsed,
}

const CLIENT: &[Flag] = &[
    flag(
        "http-addr",
        Kind::Text,
        "Address of the agent's HTTP API: host:port, an http:// or \
        https:// URL, or unix:// and a path. Environment: CONSUL_HTTP_ADDR. The default is \
        http://127.0.0.1:8500.",
    ),
    flag(
        "token",
        Kind::Text,
        "ACL token of the request; without one the agent's own is used. \
        Environment: CONSUL_HTTP_TOKEN.",
    ),
    flag(
        "token-file",
        Kind::Text,
        "File that holds the ACL token. Environment: \
        CONSUL_HTTP_TOKEN_FILE.",
    ),
    flag(
        "ca-file",
        Kind::Text,
        "File of the CA that signed the agent's certificate. \
        Environment: CONSUL_CACERT.",
    ),
    flag("ca-path", Kind::Text, "Folder of CA files. Environment: CONSUL_CAPATH."),
    flag(
        "client-cert",
        Kind::Text,
        "Client certificate for HTTPS. Environment: \
        CONSUL_CLIENT_CERT.",
    ),
    flag(
        "client-key",
        Kind::Text,
        "Key of the client certificate. Environment: \
        CONSUL_CLIENT_KEY.",
    ),
    flag(
        "tls-server-name",
        Kind::Text,
        "Name to expect in the agent's certificate. \
        Environment: CONSUL_TLS_SERVER_NAME.",
    ),
];

const SERVER: &[Flag] = &[
    flag("datacenter", Kind::Text, "Datacenter to ask; the agent's own by default."),
    flag("stale", Kind::Bool, "Let any server answer, not only the leader: faster, perhaps old."),
];

const TABLE: &[&Command] = &[
    &acl_auth::METHOD_CREATE,
    &acl_auth::METHOD_DELETE,
    &acl_auth::METHOD_LIST,
    &acl_auth::METHOD_READ,
    &acl_auth::METHOD_UPDATE,
    &acl_auth::RULE_CREATE,
    &acl_auth::RULE_DELETE,
    &acl_auth::RULE_LIST,
    &acl_auth::RULE_READ,
    &acl_auth::RULE_UPDATE,
    &acl::BOOTSTRAP,
    &acl_policy::CREATE,
    &acl_policy::DELETE,
    &acl_policy::LIST,
    &acl_policy::READ,
    &acl_policy::UPDATE,
    &acl_role::CREATE,
    &acl_role::DELETE,
    &acl_role::LIST,
    &acl_role::READ,
    &acl_role::UPDATE,
    &acl::SET_AGENT_TOKEN,
    &acl_token::CLONE,
    &acl_token::CREATE,
    &acl_token::DELETE,
    &acl_token::LIST,
    &acl_token::READ,
    &acl_token::UPDATE,
    &acl::TRANSLATE,
    &catalog::DATACENTERS,
    &catalog::NODES,
    &catalog::SERVICES,
    &connect_ca::GET,
    &connect_ca::SET,
    &connect_proxy::COMMAND,
    &config_entry::DELETE,
    &config_entry::LIST,
    &config_entry::READ,
    &config_entry::WRITE,
    &debug::COMMAND,
    &event::COMMAND,
    &exec::COMMAND,
    &operate::FORCE_LEAVE,
    &info::COMMAND,
    &intention::CHECK,
    &intention_create::COMMAND,
    &intention::DELETE,
    &intention::GET,
    &intention::LIST,
    &intention::MATCH,
    &operate::JOIN,
    &keygen::COMMAND,
    &keyring::COMMAND,
    &kv_write::DELETE,
    &kv_export::EXPORT,
    &kv_read::COMMAND,
    &kv_export::IMPORT,
    &kv_write::PUT,
    &operate::LEAVE,
    &login::LOGIN,
    &login::LOGOUT,
    &lock::COMMAND,
    &maint::COMMAND,
    &members::COMMAND,
    &monitor::COMMAND,
    &operator_autopilot::GET,
    &operator_autopilot::SET,
    &operator_autopilot::STATE,
    &operator_raft::LIST,
    &operator_raft::REMOVE,
    &operator_raft::TRANSFER,
    &operate::RELOAD,
    &rtt::COMMAND,
    &services::DEREGISTER,
    &services::REGISTER,
    &snapshot::INSPECT,
    &snapshot::RESTORE,
    &snapshot::SAVE,
    &tls::CA,
    &tls::CERT,
    &validate::COMMAND,
    &version::COMMAND,
    &watch::COMMAND,
];

/// Commands whose exit code 1 is an answer: misuse of them is 2.
const ANSWERING: &[&str] = &[intention::CHECK.path, intention::MATCH.path];

const GROUPS: &[(&str, &str)] = &[
    ("acl", "Works with tokens, policies and roles"),
    ("acl auth-method", "Works with ways to log in"),
    ("acl binding-rule", "Works with what those get who log in"),
    ("acl policy", "Works with policies"),
    ("acl role", "Works with roles"),
    ("acl token", "Works with tokens"),
    ("catalog", "Looks things up in the catalog"),
    ("config", "Works with configuration entries"),
    ("connect", "Works with the service mesh"),
    ("connect ca", "Works with the mesh's certificate authority"),
    ("intention", "Works with intentions: who may connect to whom"),
    ("kv", "Works with the key/value store"),
    ("operator", "Tools for those who run the servers"),
    ("operator autopilot", "Works with what the leader does about servers by itself"),
    ("operator raft", "Works with the consensus group"),
    ("services", "Works with services of the agent"),
    ("snapshot", "Saves, inspects and restores the state of the servers"),
    ("tls", "Makes certificates for the interfaces of agents"),
    ("tls ca", "Makes certificate authorities"),
    ("tls cert", "Makes certificates"),
];

/// Runs the command that `words` name and gives its exit code. `agent` is not among them: it
/// is the program's long life, see `main`.
pub(crate) async fn run(words: &[String]) -> Exit {
    if matches!(words.first().map(String::as_str), Some("-v" | "-version" | "--version")) {
        out(version_text().trim_end());
        return 0;
    }
    if let Some(exit) = completion::installation(words) {
        return exit;
    }
    let Some((command, rest)) = find(words) else { return no_command(words) };
    let mut tables: Vec<&[Flag]> = vec![command.flags];
    if command.client {
        tables.push(CLIENT);
    }
    if command.server {
        tables.push(SERVER);
    }
    match flags::parse(&tables, rest) {
        Ok(parsed) => (command.run)(Call { command, parsed }).await,
        Err(FlagError::Help) => {
            out(usage(command).trim_end());
            0
        }
        // The original does not look at what follows `version`, and scripts probe with options.
        Err(_) if command.path == version::COMMAND.path => {
            (command.run)(Call { command, parsed: Parsed::default() }).await
        }
        Err(error) => misused(command, error),
    }
}

/// Says what is wrong with the flags of a command, and how they are meant.
fn misused(command: &Command, error: impl std::fmt::Display) -> Exit {
    err(&format!("{error}\n\n{}", usage(command).trim_end()));
    if ANSWERING.contains(&command.path) { 2 } else { 1 }
}

fn find(words: &[String]) -> Option<(&'static Command, &[String])> {
    (1..=3.min(words.len())).rev().find_map(|n| {
        let path = words[..n].join(" ");
        TABLE.iter().find(|c| c.path == path).map(|c| (*c, &words[n..]))
    })
}

fn no_command(words: &[String]) -> Exit {
    let is_help = |w: &&String| matches!(w.as_str(), "-h" | "-help" | "--help");
    let plain: Vec<&str> =
        words.iter().take_while(|w| !w.starts_with('-')).map(String::as_str).collect();
    let group = (1..=plain.len())
        .rev()
        .map(|n| plain[..n].join(" "))
        .find(|path| GROUPS.iter().any(|(g, _)| g == path));
    let is_known = plain.is_empty() || group.is_some();
    let text = group.map_or_else(top_usage, |g| group_usage(&g));
    if is_known && words.iter().any(|w| is_help(&w)) {
        out(text.trim_end());
        0
    } else {
        err(text.trim_end());
        1
    }
}

/// The name that the program was called by, as far as it is one of its own: scripts that know the
/// original's find it in usage texts.
pub(crate) fn program() -> &'static str {
    static NAME: OnceLock<&str> = OnceLock::new();
    NAME.get_or_init(|| {
        let called = std::env::args_os().next();
        let name = called.as_deref().map(Path::new).and_then(Path::file_name);
        if name.is_some_and(|name| name == ORIGINAL) { ORIGINAL } else { OWN }
    })
}

fn top_usage() -> String {
    let mut rows = vec![("agent".to_owned(), "Runs an agent".to_owned())];
    rows.extend(listed(""));
    rows.sort();
    format!(
        "Usage: {} [--version] [--help] <command> [<args>]\n\n\
         Available commands are:\n{}",
        program(),
        list(&rows)
    )
}

fn group_usage(group: &str) -> String {
    let about = GROUPS.iter().find(|(g, _)| *g == group).map_or("", |(_, about)| about);
    format!(
        "Usage: {} {group} <subcommand> [options] [args]\n\n  {about}.\n\n\
         Subcommands:\n\n{}",
        program(),
        list(&listed(group))
    )
}

/// The commands and groups one word below `group`.
fn listed(group: &str) -> Vec<(String, String)> {
    let below = |path: &str| -> Option<String> {
        let rest =
            if group.is_empty() { path } else { path.strip_prefix(group)?.strip_prefix(' ')? };
        (!rest.contains(' ')).then(|| rest.to_owned())
    };
    let commands = TABLE.iter().map(|c| (c.path, c.synopsis));
    let mut rows: Vec<_> = commands
        .chain(GROUPS.iter().copied())
        .filter_map(|(path, about)| Some((below(path)?, about.to_owned())))
        .collect();
    rows.sort();
    rows
}

fn list(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, about)| format!("    {name:width$}    {about}\n")).collect()
}

/// Reads the words after `agent`.
///
/// # Errors
/// When they are not in order, or help is asked for.
pub(crate) fn parse_flags(table: &'static [Flag], words: &[String]) -> Result<Parsed, FlagError> {
    flags::parse(&[table], words)
}

/// The usage text of `agent`.
pub(crate) fn agent_usage(table: &[Flag]) -> String {
    let about = "Starts the agent and runs until an interrupt is received.";
    let flags = flags::describe("Command Options", table);
    format!("Usage: {} agent [options]\n\n  {about}\n\n{flags}", program())
}

/// The usage text of a command.
fn usage(command: &Command) -> String {
    let Command { path, operands, about, .. } = command;
    let mut text = format!("Usage: {} {path} {operands}\n\n  {about}\n", program());
    if command.client {
        text.push('\n');
        text.push_str(&flags::describe("HTTP API Options", CLIENT));
        if command.server {
            text.push_str(&flags::describe("", SERVER));
        }
    }
    if !command.flags.is_empty() {
        text.push('\n');
        text.push_str(&flags::describe("Command Options", command.flags));
    }
    text
}

/// A line on standard output; a reader that went away is not an error worth a panic.
pub(crate) fn out(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A line on standard error.
pub(crate) fn err(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints an error and gives the exit code 1.
fn fail(text: impl AsRef<str>) -> Exit {
    err(text.as_ref());
    1
}

/// Every command with its own flags, for `docs/coverage.md`.
#[cfg(test)]
pub(crate) fn coverage() -> Vec<[String; 2]> {
    let row = |command: &&Command| {
        let flags: Vec<_> = command.flags.iter().map(|flag| format!("`-{}`", flag.name)).collect();
        [format!("`{}`", command.path), flags.join(" ")]
    };
    TABLE.iter().map(row).chain([["`agent`".to_owned(), "see above".to_owned()]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_command_wins() {
        let words: Vec<String> = ["connect", "ca", "get-config", "x"].map(str::to_owned).to_vec();
        let found = find(&words).map(|(c, rest)| (c.path, rest.len()));
        assert_eq!(found, Some(("connect ca get-config", 1)));
        assert!(find(&["connect".to_owned()]).is_none());
    }

    #[tokio::test]
    async fn help_for_what_does_not_exist_is_an_error() {
        let exit = async |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            run(&words).await
        };
        assert_eq!(exit("nosuch -h").await, 1);
        assert_eq!(exit("kv nosuch -h").await, 0);
        assert_eq!(exit("--help").await, 0);
        assert_eq!(exit("intention check -nosuch").await, 2);
        assert_eq!(exit("intention get -nosuch").await, 1);
        assert_eq!(exit("version -nosuch").await, 0);
    }

    #[test]
    fn usage_texts_name_every_command_and_flag() {
        let top = top_usage();
        for name in ["agent", "catalog", "connect", "intention", "kv", "members", "version"] {
            assert!(top.contains(&format!("    {name} ")), "{name} in\n{top}");
        }
        for command in TABLE {
            let text = usage(command);
            assert!(text.starts_with(&format!("Usage: {} {}", program(), command.path)));
            for flag in command.flags {
                assert!(
                    text.contains(&format!("-{}", flag.name)),
                    "{} {}",
                    command.path,
                    flag.name
                );
            }
        }
        assert!(group_usage("connect").contains("    ca"));
    }

    #[test]
    fn no_flag_is_defined_twice() {
        for command in TABLE {
            let mut names: Vec<_> = command.flags.iter().map(|f| f.name).collect();
            if command.client {
                names.extend(CLIENT.iter().map(|f| f.name));
            }
            if command.server {
                names.extend(SERVER.iter().map(|f| f.name));
            }
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", command.path);
        }
    }
}
