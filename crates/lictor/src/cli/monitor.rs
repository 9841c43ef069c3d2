//! `monitor`: shows the agent's log while it is written.

use lictor_api::client::ClientError;

use super::flags::{Kind, flag};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, err, fail, out};

/// `lictor monitor`.
pub(super) const COMMAND: Command = Command {
    path: "monitor",
    synopsis: "Shows the agent's log while it is written",
    operands: "[options]",
    about: "Shows the agent's log while it is written, also at a finer level than the agent's own, \
        until it is interrupted.",
    flags: &[
        flag("log-level", Kind::Text, "Level of the lines to show. Default: INFO."),
        flag("log-json", Kind::Bool, "Show lines as JSON."),
    ],
    client: true,
    server: false,
    run: |call| Box::pin(run(call)),
};

async fn run(call: Call) -> Exit {
    let client = client_or_fail!(call);
    let level = call.parsed.text("log-level").unwrap_or("INFO").to_owned();
    let json = call.parsed.bool_or("log-json", false);
    tokio::select! {
        ended = follow(&client, &level, json) => match ended {
            Ok(()) => {
                err("\nRemote side ended the monitor! This usually means that the\n\
                     remote side has exited or crashed.");
                1
            }
            Err(error) => fail(format!("Error starting monitor: {error}")),
        },
        _ = tokio::signal::ctrl_c() => 0,
    }
}

/// Prints line by line until the other side ends.
async fn follow(client: &lictor_api::Client, level: &str, json: bool) -> Result<(), ClientError> {
    let mut request = client.get("/v1/agent/monitor").pair("loglevel", level);
    if json {
        request = request.pair("logjson", "true");
    }
    let mut stream = client.stream(request).await?;
    let mut rest = Vec::new();
    // However it ends, the other side has ended it.
    while let Ok(Some(piece)) = stream.next().await {
        rest.extend_from_slice(&piece);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            out(String::from_utf8_lossy(&line).trim_end());
        }
    }
    Ok(())
}
