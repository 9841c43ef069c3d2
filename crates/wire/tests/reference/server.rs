//! A server of the original, and how it is asked.

use lictor_rpc::message::{self, RequestHead, ResponseHead, Splitter};
use lictor_testkit::{Program, free_ports, skipped};
use lictor_types::query::QueryOptions;
use lictor_wire::catalog::NodesArgs;
use lictor_wire::{Message as _, Method, ReadRequest, WriteRequest, catalog};
use std::fmt::Debug;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{MASTER, SOON};

/// A running server of the original.
pub(crate) struct Reference {
    program: Program,
    _dir: tempfile::TempDir,
    pub(crate) port: u16,
    /// 1.2, or a later one.
    pub(crate) later: bool,
}

impl Reference {
    pub(crate) fn start(binary: &str, acl: bool) -> Self {
        let version = Command::new(binary).arg("version").output().expect("it tells its version");
        let later = !String::from_utf8_lossy(&version.stdout).contains("1.2.");
        let [server, lan, wan, http, dns] = free_ports();
        let dir = tempfile::tempdir().expect("a directory");
        let ports = format!(
            "ports {{ server = {server} serf_lan = {lan} serf_wan = {wan} http = {http} dns = {dns} {} }}",
            if later { "grpc = -1" } else { "" }
        );
        let access = match (acl, later) {
            (false, _) => String::new(),
            (true, true) => format!(
                "acl {{ enabled = true default_policy = \"deny\" tokens {{ master = \"{MASTER}\" }} }}"
            ),
            (true, false) => format!(
                "acl_datacenter = \"dc1\" acl_default_policy = \"deny\" acl_master_token = \"{MASTER}\""
            ),
        };
        let mut command = Command::new(binary);
        command.args(["agent", "-dev", "-node=ref", "-bind=127.0.0.1", "-hcl", &ports]);
        if acl {
            command.args(["-hcl", &access]);
        }
        let log = dir.path().join("log");
        let program = Program::start(&mut command, &log).expect("it starts");
        let reference = Self { program, _dir: dir, port: server, later };
        // Once it has registered itself it is ready for everything.
        let started = Instant::now();
        while let Err(error) = reference.ready(if acl { MASTER } else { "" }) {
            let output = reference.program.output();
            assert!(started.elapsed() < SOON, "{binary} is not ready: {error}\n{output}");
            std::thread::sleep(Duration::from_millis(20));
        }
        reference
    }

    fn ready(&self, token: &str) -> Result<(), String> {
        let nodes = self.try_call::<catalog::ListNodes>(&read(token, NodesArgs::default()))?;
        if nodes.result.value.is_empty() { Err("no node".to_owned()) } else { Ok(()) }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(SOON)).expect("a time limit");
        stream
    }

    /// A call on a connection of its own.
    pub(crate) fn try_call<M: Method>(&self, request: &M::Request) -> Result<M::Reply, String> {
        let head = RequestHead { seq: 1, service_method: M::NAME.to_owned() };
        let body = request.encode().expect("it can be written");
        let mut bytes = vec![0];
        bytes.extend(message::encode(&head, &body).expect("a head can be written"));
        let lost = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(lost)?;
        stream.set_read_timeout(Some(SOON)).map_err(lost)?;
        stream.write_all(&bytes).map_err(lost)?;
        let mut splitter = Splitter::default();
        let mut next = || loop {
            if let Some(value) = splitter.next_value().expect("values") {
                return Ok(value);
            }
            let mut part = [0; 4096];
            match stream.read(&mut part).map_err(lost)? {
                0 => return Err("the connection has ended".to_owned()),
                read => splitter.buffer().extend_from_slice(&part[..read]),
            }
        };
        let head = next()?;
        let head: ResponseHead = message::decode(&head).expect("a head");
        let body = next()?;
        if !head.error.is_empty() {
            return Err(head.error);
        }
        let reply = M::Reply::decode(&body);
        Ok(reply.unwrap_or_else(|error| panic!("{}: {error}: {body:02x?}", M::NAME)))
    }

    pub(crate) fn call<M: Method>(&self, request: &M::Request) -> M::Reply {
        self.try_call::<M>(request).unwrap_or_else(|error| panic!("{}: {error}", M::NAME))
    }

    /// The call is understood, and refused for this reason.
    pub(crate) fn refused<M: Method>(&self, request: &M::Request, reason: &str)
    where
        M::Reply: Debug,
    {
        let error = self.try_call::<M>(request).expect_err(M::NAME);
        assert!(error.contains(reason), "{}: {error}", M::NAME);
    }
}

pub(crate) fn read<A>(token: &str, args: A) -> ReadRequest<A> {
    let options = QueryOptions {
        datacenter: "dc1".to_owned(),
        token: token.to_owned(),
        ..QueryOptions::default()
    };
    ReadRequest { options, args }
}

pub(crate) fn asked<A>(args: A) -> ReadRequest<A> {
    read("", args)
}

pub(crate) fn written<A>(args: A) -> WriteRequest<A> {
    WriteRequest::new("dc1", "", args)
}

pub(crate) fn each(test: &str, run: fn(&str)) {
    match std::env::var("CONSUL_REFERENCE") {
        Ok(paths) => {
            for path in paths.split(':') {
                assert!(Path::new(path).exists(), "CONSUL_REFERENCE: {path} is not there");
                run(path);
            }
        }
        Err(_) => skipped(test, "CONSUL_REFERENCE does not name the original's program"),
    }
}
