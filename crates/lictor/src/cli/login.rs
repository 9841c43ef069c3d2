//! `login` and `logout`: a token for what somebody else vouches for, and its end.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use lictor_api::acl_auth::Login;

use super::flags::{FlagError, Kind, flag};
use super::output::reason;
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, misused};

/// `lictor login`.
pub(super) const LOGIN: Command = Command {
    path: "login",
    synopsis: "Logs in by a method and keeps the token in a file",
    operands: "[options]",
    about: "Exchanges what somebody else vouches for, such as a JWT, for a token, which is written \
        into a file. logout ends it.",
    flags: &[
        flag("method", Kind::Text, "Name of the method."),
        flag("type", Kind::Text, "Type of the method; nothing depends on it."),
        flag("bearer-token-file", Kind::Text, "File with what the method is shown."),
        flag("token-sink-file", Kind::Text, "File that the token's secret is written into."),
        flag("meta", Kind::List, "Becomes part of the token's description: key=value."),
    ],
    client: true,
    server: true,
    run: |call| Box::pin(login(call)),
};

/// `lictor logout`.
pub(super) const LOGOUT: Command = Command {
    path: "logout",
    synopsis: "Deletes a token that login made",
    operands: "[options]",
    about: "Deletes the token of the request, if login made it.",
    flags: &[],
    client: true,
    server: true,
    run: |call| Box::pin(logout(call)),
};

async fn login(call: Call) -> Exit {
    if !call.parsed.operands.is_empty() {
        return fail("Should have no non-flag arguments.");
    }
    if let Some(pair) = call.parsed.list("meta").iter().find(|pair| !pair.contains('=')) {
        return misused(call.command, FlagError::not_a_pair("meta", pair));
    }
    let text = |name: &str| call.parsed.text_or_empty(name);
    for name in ["method", "token-sink-file", "bearer-token-file"] {
        if text(name).is_empty() {
            return fail(format!("Missing required '-{name}' flag"));
        }
    }
    let path = text("bearer-token-file");
    let bearer = match fs::read_to_string(path) {
        Ok(bearer) => bearer.trim().to_owned(),
        Err(error) => return fail(format!("open {path}: {}", reason(&error))),
    };
    if bearer.is_empty() {
        return fail(format!("No bearer token found in {path}"));
    }
    let pairs = call.parsed.list("meta").iter().filter_map(|pair| pair.split_once('='));
    let wanted = Login {
        auth_method: text("method").to_owned(),
        bearer_token: bearer,
        meta: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
    };
    // Who logs in has no token yet.
    let client = client_or_fail!(call).with_token("");
    let token = match client {
        Ok(client) => client.acl_login(&wanted).await,
        Err(error) => Err(error),
    };
    let token = match token {
        Ok(token) => token,
        Err(error) => return fail(format!("Error logging in: {error}")),
    };
    match write_secret(Path::new(text("token-sink-file")), &token.secret_id) {
        Ok(()) => 0,
        Err(error) => fail(format!("Error writing token to file sink: {}", reason(&error))),
    }
}

/// Replaces a file that only its owner may read.
fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = (|| {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(secret.as_bytes())?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // What could not be made need not be removed.
        let _ = fs::remove_file(&temporary);
    }
    written
}

async fn logout(call: Call) -> Exit {
    if !call.parsed.operands.is_empty() {
        return fail("Should have no non-flag arguments.");
    }
    let client = client_or_fail!(call);
    match client.acl_logout().await {
        Ok(()) => 0,
        Err(error) => fail(format!("Error destroying token: {error}")),
    }
}
