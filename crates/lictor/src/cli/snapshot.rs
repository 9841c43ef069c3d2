//! `snapshot save`, `snapshot inspect` and `snapshot restore`: the whole state as a file.
//!
//! What is saved is read back before it is called saved.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use lictor_api::client::{Client, Request};
use lictor_server::archive::{self, ARCHIVE_MAX, Description};

use super::output::{columns, reason, row};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, out};

/// `lictor snapshot save`.
pub(super) const SAVE: Command = Command {
    path: "snapshot save",
    synopsis: "Saves the state of the servers in a file",
    operands: "[options] FILE",
    about: "Saves the whole state of the servers in a file, and reads it back to be sure. The file \
        holds secrets: only its owner may read it.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(save(call)),
};

/// `lictor snapshot inspect`.
pub(super) const INSPECT: Command = Command {
    path: "snapshot inspect",
    synopsis: "Shows what a file with a snapshot says about itself",
    operands: "[options] FILE",
    about: "Checks a file with a snapshot, and shows what it says about itself.",
    flags: &[],
    client: false,
    server: false,
    run: |call| Box::pin(inspect(call)),
};

/// `lictor snapshot restore`.
pub(super) const RESTORE: Command = Command {
    path: "snapshot restore",
    synopsis: "Restores the state of the servers from a file",
    operands: "[options] FILE",
    about: "Replaces the whole state of the servers by what a file with a snapshot holds.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(restore(call)),
};

const PATH: &str = "/v1/snapshot";
/// How long an archive may be under way.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

fn file(call: &Call) -> Result<&str, String> {
    match call.parsed.operands.as_slice() {
        [] => Err("Missing FILE argument".to_owned()),
        [file] => Ok(file),
        more => Err(format!("Too many arguments (expected 1, got {})", more.len())),
    }
}

fn patient(request: Request) -> Request {
    request.timeout(PATIENCE).limit(ARCHIVE_MAX)
}

fn verify(path: &str) -> Result<Description, String> {
    let file = File::open(path)
        .map_err(|e| format!("Error opening snapshot file: open {path}: {}", reason(&e)))?;
    archive::verify(BufReader::new(file)).map_err(|e| format!("Error verifying snapshot: {e}"))
}

async fn save(call: Call) -> Exit {
    let path = match file(&call) {
        Ok(path) => path,
        Err(error) => return fail(error),
    };
    let client: Client = client_or_fail!(call);
    let answer = match client.call(patient(call.read(&client, PATH))).await {
        Ok(answer) => answer,
        Err(error) => return fail(format!("Error saving snapshot: {error}")),
    };
    let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = match options {
        Ok(file) => file,
        Err(error) => {
            let reason = reason(&error);
            return fail(format!("Error creating snapshot file: open {path}: {reason}"));
        }
    };
    if let Err(error) = file.write_all(&answer.body).and_then(|()| file.sync_all()) {
        return fail(format!("Error writing snapshot file: {}", reason(&error)));
    }
    match verify(path) {
        Ok(_) => {
            out(&format!("Saved and verified snapshot to index {}", answer.index()));
            0
        }
        Err(error) => fail(error),
    }
}

async fn inspect(call: Call) -> Exit {
    match file(&call).and_then(verify) {
        Ok(description) => {
            out(&columns(&[
                row(["ID", &description.id]),
                row(["Size", &description.size.to_string()]),
                row(["Index", &description.index.to_string()]),
                row(["Term", &description.term.to_string()]),
                row(["Version", &description.version.to_string()]),
            ]));
            0
        }
        Err(error) => fail(error),
    }
}

async fn restore(call: Call) -> Exit {
    let path = match file(&call) {
        Ok(path) => path,
        Err(error) => return fail(error),
    };
    let mut archive = Vec::new();
    let limit = ARCHIVE_MAX as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut archive));
    if let Err(error) = read {
        return fail(format!("Error opening snapshot file: open {path}: {}", reason(&error)));
    }
    let client = client_or_fail!(call);
    match client.call(patient(client.put(PATH)).body(archive)).await {
        Ok(_) => {
            out("Restored snapshot");
            0
        }
        Err(error) => fail(format!("Error restoring snapshot: {error}")),
    }
}
