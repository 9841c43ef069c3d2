//! `tls ca create` and `tls cert create`: certificates for the interfaces of agents.
//!
//! Files are made in the present folder and never replaced; keys are for their owner alone.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use lictor_pki::agent_tls::{
    AgentRequest, AuthorityRequest, Issued, make_authority, make_certificate,
};
use time::OffsetDateTime;

use super::flags::{FlagError, Kind, flag};
use super::output::reason;
use super::{Call, Command, Exit, fail, misused, out};

const DOMAIN: super::Flag = flag("domain", Kind::Text, "Domain of the cluster. Default: consul.");

/// `lictor tls ca create`.
pub(super) const CA: Command = Command {
    path: "tls ca create",
    synopsis: "Makes a certificate authority for agents",
    operands: "[options]",
    about: "Makes a certificate authority for the interfaces of agents: its certificate in \
        <domain>-agent-ca.pem and its key in <domain>-agent-ca-key.pem.",
    flags: &[
        flag("days", Kind::Text, "Days of validity. Default: 1825."),
        flag("name-constraint", Kind::Bool, "Let it sign for the domain and localhost only."),
        flag("additional-name-constraint", Kind::List, "A further such name; may be repeated."),
        flag("cluster-id", Kind::Text, "ID of the cluster, for a SPIFFE URI."),
        flag("common-name", Kind::Text, "Common name. Default: one with its serial number."),
        DOMAIN,
    ],
    client: false,
    server: false,
    run: |call| Box::pin(async move { ended(authority(&call)) }),
};

/// `lictor tls cert create`.
pub(super) const CERT: Command = Command {
    path: "tls cert create",
    synopsis: "Makes a certificate for an agent or a client of it",
    operands: "[options]",
    about: "Makes a certificate for a server, a client agent or the command line, signed by an \
        authority that tls ca create made, in <dc>-<use>-<domain>-<n>.pem and -key.pem.",
    flags: &[
        flag("ca", Kind::Text, "Certificate of the authority. Default: <domain>-agent-ca.pem."),
        flag("key", Kind::Text, "Key of the authority. Default: <domain>-agent-ca-key.pem."),
        flag("server", Kind::Bool, "For a server."),
        flag("client", Kind::Bool, "For a client agent."),
        flag("cli", Kind::Bool, "For the command line."),
        flag("node", Kind::Text, "With -server: node whose own name is added."),
        flag("days", Kind::Text, "Days of validity. Default: 365."),
        flag("dc", Kind::Text, "Datacenter. Default: dc1."),
        flag("additional-dnsname", Kind::List, "A further DNS name; may be repeated."),
        flag("additional-ipaddress", Kind::List, "A further address; may be repeated."),
        DOMAIN,
    ],
    client: false,
    server: false,
    run: |call| Box::pin(async move { ended(certificate(&call)) }),
};

/// Most files of one name.
const NUMBERS: u32 = 10_000;
/// Largest certificate or key that is read, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

fn ended(done: Result<(), Exit>) -> Exit {
    match done {
        Ok(()) => 0,
        Err(exit) => exit,
    }
}

fn days(call: &Call, usual: u32) -> Result<u32, Exit> {
    let number = call.parsed.number("days").map_err(|error| misused(call.command, error))?;
    let Some(number) = number else { return Ok(usual) };
    u32::try_from(number).map_err(|_| {
        let (name, value) = ("days".to_owned(), number.to_string());
        misused(call.command, FlagError::BadNumber { name, value })
    })
}

fn text<'a>(call: &'a Call, name: &str, usual: &'a str) -> &'a str {
    call.parsed.text(name).unwrap_or(usual)
}

/// A word that becomes part of the name of a file.
fn word<'a>(call: &'a Call, name: &str, usual: &'a str) -> Result<&'a str, Exit> {
    let given = text(call, name, usual);
    if given.is_empty() || given.contains('/') {
        return Err(fail(format!("-{name} cannot be {given:?}")));
    }
    Ok(given)
}

fn save(path: &str, text: &str, mode: u32) -> Result<(), Exit> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| fail(format!("open {path}: {}", reason(&error))))?;
    out(&format!("==> Saved {path}"));
    Ok(())
}

fn save_both(made: &Issued, certificate: &str, key: &str) -> Result<(), Exit> {
    save(certificate, &made.certificate, 0o644)?;
    save(key, &made.key, 0o600)
}

fn read(path: &str, what: &str) -> Result<String, Exit> {
    let failed = |problem: String| fail(format!("Error reading {what}: open {path}: {problem}"));
    let size = fs::metadata(path).map_err(|error| failed(reason(&error)))?.len();
    if size > FILE_MAX {
        return Err(failed("the file is too long".to_owned()));
    }
    fs::read_to_string(path).map_err(|error| failed(reason(&error)))
}

fn no_operands(call: &Call) -> Result<(), Exit> {
    match call.parsed.operands.len() {
        0 => Ok(()),
        n => Err(fail(format!("Too many arguments (expected 0, got {n})"))),
    }
}

fn authority(call: &Call) -> Result<(), Exit> {
    no_operands(call)?;
    let domain = word(call, "domain", "consul")?;
    let files = [format!("{domain}-agent-ca.pem"), format!("{domain}-agent-ca-key.pem")];
    if let Some(file) = files.iter().find(|file| Path::new(file).exists()) {
        return Err(fail(format!("{file} already exists.")));
    }
    let mut permitted = Vec::new();
    if call.parsed.is_set("name-constraint") {
        permitted.extend(call.parsed.list("additional-name-constraint").iter().cloned());
        permitted.extend([domain.to_owned(), "localhost".to_owned()]);
    }
    let uri = match call.parsed.text_or_empty("cluster-id") {
        "" => String::new(),
        id => format!("spiffe://{id}.{domain}"),
    };
    let name = call.parsed.text_or_empty("common-name").to_owned();
    let request = AuthorityRequest { name, days: days(call, 1825)?, permitted, uri };
    let made = make_authority(&request, OffsetDateTime::now_utc().unix_timestamp());
    let made = made.map_err(|error| fail(error.to_string()))?;
    save_both(&made, &files[0], &files[1])
}

fn certificate(call: &Call) -> Result<(), Exit> {
    no_operands(call)?;
    let uses: Vec<&str> =
        ["server", "client", "cli"].into_iter().filter(|name| call.parsed.is_set(name)).collect();
    let [name] = uses.as_slice() else {
        return Err(fail("Please provide either -server, -client, or -cli"));
    };
    let node = call.parsed.text_or_empty("node");
    if !node.is_empty() && *name != "server" {
        return Err(fail("-node requires -server"));
    }
    let (datacenter, domain) = (word(call, "dc", "dc1")?, word(call, "domain", "consul")?);
    let (ca, key) = (format!("{domain}-agent-ca.pem"), format!("{domain}-agent-ca-key.pem"));
    let (ca, key) = (text(call, "ca", &ca), text(call, "key", &key));
    for (path, what) in [(ca, "ca"), (key, "key")] {
        if path.is_empty() {
            return Err(fail(format!("Please provide the {what}")));
        }
    }
    let common_name = format!("{name}.{datacenter}.{domain}");
    let mut request = AgentRequest {
        name: common_name.clone(),
        days: days(call, 365)?,
        for_tls: *name != "cli",
        ..AgentRequest::default()
    };
    if *name != "cli" {
        let names = call.parsed.list("additional-dnsname").iter().map(|name| name.trim());
        request.dns_names = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        for text in call.parsed.list("additional-ipaddress") {
            let address: Result<IpAddr, _> = text.trim().parse();
            request.addresses.push(address.map_err(|_| {
                fail(format!("-additional-ipaddress cannot be {text:?}: it is no IP address"))
            })?);
        }
        request.addresses.push(IpAddr::from([127, 0, 0, 1]));
    }
    if !node.is_empty() {
        request.dns_names.push(format!("{node}.{common_name}"));
    }
    request.dns_names.extend([common_name, "localhost".to_owned()]);
    let prefix = format!("{datacenter}-{name}-{domain}");
    let files = (0..=NUMBERS)
        .map(|n| [format!("{prefix}-{n}.pem"), format!("{prefix}-{n}-key.pem")])
        .find(|files| files.iter().all(|file| !Path::new(file).exists()))
        .ok_or_else(|| fail("Could not find a filename that doesn't already exist"))?;
    let (ca_text, key_text) = (read(ca, "CA")?, read(key, "CA key")?);
    if *name == "server" {
        out("==> WARNING: a server's certificate lets its holder become a server and read\n    \
             all state of the cluster, its keys and tokens included. Store it as\n    \
             securely as the keys of the authority, on servers only.");
    }
    out(&format!("==> Using {ca} and {key}"));
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let made = make_certificate(&ca_text, &key_text, &request, now);
    let made = made.map_err(|error| fail(error.to_string()))?;
    save_both(&made, &files[0], &files[1])
}
