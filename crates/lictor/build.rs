//! Has the linker leave out symbols, and pack the program's own relocations.
//!
//! A panic names its file and line without symbols, and they are a seventh of a released program.
//! Cargo's own `strip` has no effect on a package that the profile builds with another `opt-level`.
//!
//! Relocations are packed where the system's loader can read them so: packed they are a few
//! kilobytes; otherwise every process reads close to a megabyte of them at its start, which stays in
//! its memory. The GNU C library reads the packed form from 2.36 on.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo:rustc-link-arg-bins=-Wl,--strip-all");
    }
    let own = env::var("HOST").is_ok() && env::var("HOST") == env::var("TARGET");
    if own && is("CARGO_CFG_TARGET_ENV", "gnu") && loader_reads_packed() {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Whether this machine's C library is new enough.
fn loader_reads_packed() -> bool {
    let Ok(asked) = Command::new("getconf").arg("GNU_LIBC_VERSION").output() else { return false };
    // Such as `glibc 2.36`.
    let text = String::from_utf8_lossy(&asked.stdout).into_owned();
    let version = text.split_whitespace().nth(1).unwrap_or_default();
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (2, 36)
}
