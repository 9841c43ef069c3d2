//! `validate`: whether files and folders are a configuration that an agent would start with.
//!
//! Nothing is started or written, and no agent is asked. Texts and exit codes follow the
//! original's command.

use super::flags::{Kind, flag};
use super::{Call, Command, Exit, err, fail, out};
use crate::config;

/// `lictor validate`.
pub(super) const COMMAND: Command = Command {
    path: "validate",
    synopsis: "Checks configuration files",
    operands: "[options] FILE_OR_DIRECTORY...",
    about: "Checks whether the files, and those in the folders, are together a configuration \
        that an agent would start with.",
    flags: &[
        flag("config-format", Kind::Text, "hcl or json: the language of all files."),
        flag("quiet", Kind::Bool, "Print nothing when the configuration is in order."),
    ],
    client: false,
    server: false,
    run: |call| Box::pin(run(call)),
};

async fn run(call: Call) -> Exit {
    let paths = &call.parsed.operands;
    if paths.is_empty() {
        return fail("Must specify at least one config file or directory");
    }
    let quiet = call.parsed.is_set("quiet");
    match config::validate(paths, call.parsed.text("config-format")) {
        Err(error) => fail(format!("Config validation failed: {error}")),
        Ok(_) if quiet => 0,
        Ok(warnings) => {
            for warning in warnings {
                err(&format!("WARNING: {warning}"));
            }
            out("Configuration is valid!");
            0
        }
    }
}
