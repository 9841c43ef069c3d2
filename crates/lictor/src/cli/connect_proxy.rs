//! `connect proxy`: runs the built-in proxy until a signal ends it.
//!
//! Where its configuration comes from is decided here: a file, the agent, or options. What it
//! does with it is the `proxy` crate's. Options, order and output follow cli.md section 4.

use lictor_hcl::{Data, Object, Value};
use lictor_proxy::config::{FlagError, Flags, ProxyConfig};
use lictor_proxy::{Registration, Settings, Source};
use lictor_task::CancellationToken;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::flags::{Kind, flag};
use super::output::reason;
use super::{Call, Command, Exit, err, fail, misused, out};
use crate::log::{self, LogLevel};

/// Where an agent puts a managed proxy's ID; the second is the documented name.
const ID_VARIABLES: [&str; 2] = ["CONNECT_PROXY_ID", "CONSUL_PROXY_ID"];
/// Where it puts the proxy's token.
const TOKEN_VARIABLES: [&str; 2] = ["CONNECT_PROXY_TOKEN", "CONSUL_PROXY_TOKEN"];

/// `lictor connect proxy`.
pub(super) const COMMAND: Command = Command {
    path: "connect proxy",
    synopsis: "Runs a proxy of the mesh",
    operands: "[options]",
    about: "Runs the built-in proxy: it takes connections of the mesh for a service and offers \
        other services on local ports. Without -service the configuration is that of a managed \
        proxy, which is read from the agent and followed.",
    flags: &[
        flag("service", Kind::Text, "Name of the service that the proxy speaks for."),
        flag(
            "proxy-id",
            Kind::Text,
            "ID of a sidecar service, or of a managed proxy, at the agent. Environment: \
            CONNECT_PROXY_ID.",
        ),
        flag(
            "sidecar-for",
            Kind::Text,
            "ID of a service at the agent: the proxy is its sidecar, which must be the only one.",
        ),
        flag(
            "upstream",
            Kind::List,
            "A local port that leads to another service: name:port, name:address:port, or with \
            the kind after the name, as in name.query:port. Can be given several times.",
        ),
        flag("listen", Kind::Text, "Address of the public listener, host:port."),
        flag("service-addr", Kind::Text, "Address of the local service; needed with -listen."),
        flag(
            "register",
            Kind::Bool,
            "Register the proxy at the agent while it runs; needs -service and -listen.",
        ),
        flag("register-id", Kind::Text, "What is added to the ID that is registered."),
        flag("dev-config", Kind::Text, "File with the configuration, HCL or JSON."),
        flag("log-level", Kind::Text, "TRACE, DEBUG, INFO, WARN or ERR. The default is INFO."),
        flag("pprof-addr", Kind::Text, "Accepted and without effect."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(run(call)),
};

async fn run(call: Call) -> Exit {
    let flags = flags(&call);
    if let Some((given, error)) = flags.bad_upstream() {
        let text = format!("invalid value \"{given}\" for flag -upstream: {error}");
        return misused(call.command, text);
    }
    if !call.parsed.operands.is_empty() {
        return fail("==> Should have no non-flag arguments.");
    }
    let sidecar = match call.parsed.text("sidecar-for").filter(|id| !id.is_empty()) {
        None => None,
        Some(id) => match sidecar_of(&call, id).await {
            Ok(proxy_id) => Some(proxy_id),
            Err(text) => return fail(text),
        },
    };
    let word = call.parsed.text("log-level").unwrap_or("INFO").to_uppercase();
    let Some(level) = LogLevel::parse(&word) else {
        return fail(format!(
            "==> Invalid log level: {word}. Valid log levels are: [TRACE DEBUG INFO WARN ERR]"
        ));
    };
    let mut lines = Lines::new();
    let told = settings(&call, &flags, sidecar, &mut lines);
    out("==> Consul Connect proxy starting...");
    for (name, value) in lines {
        out(&format!("{name:>22}: {value}"));
    }
    let (settings, file_token) = match told {
        Ok(told) => told,
        Err(text) => return fail(format!("==> {text}")),
    };
    let client = match call.client_with(file_token.or_else(|| variable(TOKEN_VARIABLES))) {
        Ok(client) => client,
        Err(error) => return fail(format!("==> Error connecting to Consul agent: {error}")),
    };
    out("\n==> Log data will now stream in as it occurs:\n");
    if let Err(error) = log::start(level, &log::LogSettings::default()) {
        return fail(error.to_string());
    }
    raise_file_limit();
    match until_signal(settings, client).await {
        Ok(()) => {
            out("==> Consul Connect proxy shutdown");
            0
        }
        Err(text) => {
            err(&format!("==> {text}"));
            1
        }
    }
}

/// The ID of the one sidecar that a service has at the agent.
async fn sidecar_of(call: &Call, service: &str) -> Result<String, String> {
    let client = call
        .client_with(variable(TOKEN_VARIABLES))
        .map_err(|error| format!("Error connecting to Consul agent: {error}"))?;
    let services = client
        .agent_services()
        .await
        .map_err(|error| format!("Failed looking up sidecar proxy info for {service}: {error}"))?;
    let stands_for = |proxy: &Option<lictor_api::catalog::ProxyConfig>| {
        proxy.as_ref().is_some_and(|proxy| proxy.destination_service_id == service)
    };
    let sidecars = services.into_values().filter(|one| one.kind == "connect-proxy");
    let ids: Vec<_> = sidecars.filter(|one| stands_for(&one.proxy)).map(|one| one.id).collect();
    match &ids[..] {
        [id] => Ok(id.clone()),
        [] => Err(format!("No sidecar proxy registered for {service}")),
        several => Err(format!(
            "More than one sidecar proxy registered for {service}.\n    Start proxy with -proxy-id \
             and one of the following IDs: {}",
            several.join(", ")
        )),
    }
}

async fn until_signal(
    settings: Settings,
    client: lictor_api::client::Client,
) -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| format!("Error handling signals: {error}"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let running = lictor_proxy::run(settings, client, stop.clone());
    tokio::pin!(running);
    let outcome = tokio::select! {
        outcome = &mut running => outcome,
        _ = interrupt.recv() => { stop.cancel(); running.await }
        _ = terminate.recv() => { stop.cancel(); running.await }
    };
    outcome.map_err(|error| format!("Failed running proxy: {error}"))
}

/// What is printed at the start: names and values.
type Lines = Vec<(&'static str, String)>;

fn flags(call: &Call) -> Flags {
    Flags {
        service: call.parsed.text_or_empty("service").to_owned(),
        upstreams: call.parsed.list("upstream").to_vec(),
        listen: call.parsed.text_or_empty("listen").to_owned(),
        service_address: call.parsed.text_or_empty("service-addr").to_owned(),
        register: call.parsed.is_set("register"),
        register_id: call.parsed.text_or_empty("register-id").to_owned(),
    }
}

/// How the proxy is told to run, and a token if the file holds one. What is known of it is added
/// to `lines`, which are shown even when the rest is not in order.
fn settings(
    call: &Call,
    flags: &Flags,
    sidecar: Option<String>,
    lines: &mut Lines,
) -> Result<(Settings, Option<String>), String> {
    let failed = |text: &dyn std::fmt::Display| format!("Error preparing configuration: {text}");
    if let Some(path) = call.parsed.text("dev-config").filter(|path| !path.is_empty()) {
        let config = from_file(path).map_err(|text| failed(&text))?;
        let token = Some(config.token.clone()).filter(|token| !token.is_empty());
        lines.push(("Configuration mode", "File".to_owned()));
        lines.extend(describe(&config));
        return Ok((Settings::new(Source::Fixed(config)), token));
    }
    let given = call.parsed.text("proxy-id").filter(|id| !id.is_empty()).map(str::to_owned);
    if let Some(proxy_id) = sidecar.or(given).or_else(|| variable(ID_VARIABLES)) {
        lines.push(("Configuration mode", "Agent API".to_owned()));
        lines.push(("Proxy ID", proxy_id.clone()));
        return Ok((Settings::new(Source::Agent { proxy_id }), None));
    }
    let mode = ("Configuration mode", "Flags".to_owned());
    let config = match flags.config() {
        Ok(config) => config,
        Err(FlagError::NoService) => return Err(failed(&FlagError::NoService)),
        Err(error) => {
            lines.extend([mode, ("Service", flags.service.clone())]);
            return Err(match error {
                FlagError::CannotRegister => format!("Failed initializing registration: {error}"),
                error => failed(&error),
            });
        }
    };
    lines.push(mode);
    lines.extend(describe(&config));
    let register = config.public.as_ref().filter(|_| flags.register).map(|public| {
        let (address, port) = (&public.bind_address, public.bind_port);
        Registration::new(&config.service, &flags.register_id, address, port)
    });
    Ok((Settings { register, ..Settings::new(Source::Fixed(config)) }, None))
}

fn describe(config: &ProxyConfig) -> Lines {
    let mut lines = vec![("Service", config.service.clone())];
    for upstream in &config.upstreams {
        let (name, port) = (&upstream.destination.name, upstream.local_bind_port);
        lines.push(("Upstream", format!("{name} => {}:{port}", upstream.local_bind_address)));
    }
    let public = match &config.public {
        Some(public) => format!("{} => {}", public.bind_addr(), public.local_service_address),
        None => "Disabled".to_owned(),
    };
    lines.push(("Public listener", public));
    lines
}

/// The first of the variables that is set to something.
fn variable(names: [&str; 2]) -> Option<String> {
    names.into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn from_file(path: &str) -> Result<ProxyConfig, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("open {path}: {}", reason(&e)))?;
    let is_json = text.trim_start().starts_with('{');
    let parsed = if is_json { lictor_hcl::parse_json(&text) } else { lictor_hcl::parse_hcl(&text) };
    let value = parsed.map_err(|error| format!("{path}: {error}"))?;
    ProxyConfig::from_file(&plain(&value)).map_err(|error| format!("{path}: {error}"))
}

/// The tree without its lines.
fn plain(value: &Value) -> serde_json::Value {
    let object = |object: &Object| {
        let fields = object.fields.iter().map(|f| (f.key.clone(), plain(&f.value)));
        serde_json::Value::Object(fields.collect())
    };
    match &value.data {
        Data::Null => serde_json::Value::Null,
        Data::Bool(flag) => (*flag).into(),
        Data::Int(number) => (*number).into(),
        Data::Float(number) => (*number).into(),
        Data::Text(text) => text.as_str().into(),
        Data::List(list) => list.iter().map(plain).collect(),
        Data::Objects { objects, listed: false } if objects.len() == 1 => {
            objects.first().map(object).unwrap_or_default()
        }
        Data::Objects { objects, .. } => objects.iter().map(object).collect(),
    }
}

/// Each connection needs two files, and the usual limit is 1024.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_in_both_languages_mean_the_same() {
        let hcl = r#"
            proxied_service_name = "web"
            public_listener { bind_port = 8443 local_service_address = "127.0.0.1:80" }
            upstreams { destination_name = "db" local_bind_port = 9191 }
            upstreams { destination_name = "cache" local_bind_port = 9192 }
        "#;
        let json = r#"{"proxied_service_name": "web",
            "public_listener": {"bind_port": 8443, "local_service_address": "127.0.0.1:80"},
            "upstreams": [{"destination_name": "db", "local_bind_port": 9191},
                          {"destination_name": "cache", "local_bind_port": 9192}]}"#;
        let read = |value: &Value| ProxyConfig::from_file(&plain(value)).unwrap();
        let config = read(&lictor_hcl::parse_hcl(hcl).unwrap());
        assert_eq!(config, read(&lictor_hcl::parse_json(json).unwrap()));
        assert_eq!(config.upstreams.len(), 2);
        let lines = describe(&config);
        assert_eq!(lines[1].1, "db => :9191");
        assert_eq!(lines[3].1, "0.0.0.0:8443 => 127.0.0.1:80");
    }
}
