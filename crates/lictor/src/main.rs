//! The program: finds out which command is meant and runs it.
//!
//! `agent` is the long life in `run_agent`; everything else is a short command of `cli`.

mod cli;
mod cluster;
mod config;
#[cfg(test)]
mod coverage;
mod followed;
mod log;
mod run_agent;
mod watches;

use std::process::ExitCode;

/// Blocks that proxies and watchers free are given back and reused better than by the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if cli::complete().is_some() {
        return ExitCode::SUCCESS;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [command, rest @ ..] = words.as_slice()
        && command == "agent"
    {
        return run_agent::run(rest);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => ExitCode::from(runtime.block_on(cli::run(&words))),
        Err(error) => {
            cli::err(&format!("Error: the runtime could not be started: {error}"));
            ExitCode::FAILURE
        }
    }
}
