//! Completion of words in shells: what could come next, and putting it into a shell's start file.
//!
//! A shell that completes calls the program with the line so far in `COMP_LINE`, and takes what it
//! prints, one word a line. That is bash's protocol, which zsh and fish can speak as well.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{CLIENT, Flag, GROUPS, SERVER, TABLE, err, find, out, program};
use crate::config::AGENT_FLAGS;

/// The words with which completion is put into start files, and taken out.
const INSTALL: &str = "-autocomplete-install";
const UNINSTALL: &str = "-autocomplete-uninstall";

/// Answers a shell that asks for candidates; `None` when none asks.
pub(crate) fn answer() -> Option<()> {
    let line = std::env::var("COMP_LINE").ok()?;
    let point = std::env::var("COMP_POINT").ok().and_then(|point| point.parse().ok());
    // What is behind the cursor does not count.
    let line = point.and_then(|point: usize| line.get(..point)).unwrap_or(&line);
    for candidate in candidates(line) {
        out(&candidate);
    }
    Some(())
}

/// What could stand in place of the last word of `line`.
fn candidates(line: &str) -> Vec<String> {
    let mut words: Vec<String> = line.split_whitespace().skip(1).map(str::to_owned).collect();
    let last = match line.ends_with(char::is_whitespace) {
        true => String::new(),
        false => words.pop().unwrap_or_default(),
    };
    let mut found = if last.starts_with('-') {
        flags(&words).into_iter().map(|flag| format!("-{}", flag.name)).collect()
    } else {
        commands(&words)
    };
    // Both dashes of a long spelling are kept.
    if last.starts_with("--") {
        found.iter_mut().for_each(|flag| flag.insert(0, '-'));
    }
    found.retain(|candidate| candidate.starts_with(&last));
    found.sort();
    found.dedup();
    found
}

/// The flags of the command that `words` name.
fn flags(words: &[String]) -> Vec<&'static Flag> {
    if words.first().is_some_and(|word| word == "agent") {
        return AGENT_FLAGS.iter().collect();
    }
    let Some((command, _)) = find(words) else { return Vec::new() };
    let client = command.client.then_some(CLIENT).into_iter().flatten();
    let server = command.server.then_some(SERVER).into_iter().flatten();
    command.flags.iter().chain(client).chain(server).collect()
}

/// The words of commands that go on after `words`.
fn commands(words: &[String]) -> Vec<String> {
    let before = words.join(" ");
    let next = |path: &str| -> Option<String> {
        let rest = match before.as_str() {
            "" => path,
            before => path.strip_prefix(before)?.strip_prefix(' ')?,
        };
        rest.split(' ').next().map(str::to_owned)
    };
    let paths = TABLE.iter().map(|command| command.path);
    let groups = GROUPS.iter().map(|(path, _)| *path);
    paths.chain(groups).chain(["agent"]).filter_map(next).collect()
}

/// Installs or uninstalls if the words ask for it; gives the exit code.
pub(super) fn installation(words: &[String]) -> Option<u8> {
    let word = words.first()?;
    let word = word.strip_prefix('-').filter(|rest| rest.starts_with('-')).unwrap_or(word);
    let install = match word {
        INSTALL => true,
        UNINSTALL => false,
        _ => return None,
    };
    let done = std::env::current_exe().and_then(|binary| {
        let home = std::env::var_os("HOME")
            .ok_or_else(|| io::Error::other("HOME does not say where start files are"))?;
        change(Path::new(&home), &binary, install)
    });
    Some(match done {
        Ok(0) => {
            err(if install {
                "Completion is installed already"
            } else {
                "Completion is not installed"
            });
            1
        }
        Ok(_) => 0,
        Err(error) => {
            err(&format!("Error changing the start files of shells: {error}"));
            1
        }
    })
}

/// A start file and the lines that belong into it.
struct Start {
    path: PathBuf,
    lines: Vec<String>,
}

fn starts(home: &Path, binary: &Path) -> Vec<Start> {
    let (name, binary) = (program(), binary.display());
    let call = format!("complete -C {binary} {name}");
    let mut all = Vec::new();
    let bash = [".bashrc", ".bash_profile", ".bash_login", ".profile"];
    if let Some(path) = bash.iter().map(|file| home.join(file)).find(|path| path.exists()) {
        all.push(Start { path, lines: vec![call.clone()] });
    }
    let zsh = home.join(".zshrc");
    if zsh.exists() {
        let load = "autoload -U +X bashcompinit && bashcompinit".to_owned();
        let call = format!("complete -o nospace -C {binary} {name}");
        all.push(Start { path: zsh, lines: vec![load, call] });
    }
    let fish = home.join(".config/fish");
    if fish.is_dir() {
        let path = fish.join(format!("completions/{name}.fish"));
        let lines = vec![
            format!("function __complete_{name}"),
            "    set -lx COMP_LINE (commandline -cp)".to_owned(),
            "    test -z (commandline -ct); and set COMP_LINE \"$COMP_LINE \"".to_owned(),
            format!("    {binary}"),
            "end".to_owned(),
            format!("complete -f -c {name} -a \"(__complete_{name})\""),
        ];
        all.push(Start { path, lines });
    }
    all
}

/// Adds the lines to all start files that there are, or removes them; gives how many changed.
fn change(home: &Path, binary: &Path, install: bool) -> io::Result<usize> {
    let mut changed = 0;
    for Start { path, lines } in starts(home, binary) {
        let own = path.extension().is_some_and(|ending| ending == "fish");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let last = lines.last().map(String::as_str).unwrap_or_default();
        let is_there = text.lines().any(|line| line == last);
        if is_there == install {
            continue;
        }
        changed += 1;
        if install {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let missing = lines.iter().filter(|line| own || !text.lines().any(|l| l == *line));
            let mut added: String = missing.map(|line| format!("{line}\n")).collect();
            if !text.is_empty() && !text.ends_with('\n') {
                added.insert(0, '\n');
            }
            let mut file = fs::OpenOptions::new().append(true).create(true).open(&path)?;
            file.write_all(added.as_bytes())?;
        } else if own {
            fs::remove_file(&path)?;
        } else {
            // Others may need the line that loads completion.
            let rest: String =
                text.split_inclusive('\n').filter(|l| l.trim_end() != last).collect();
            let temporary = path.with_extension("lictor.tmp");
            fs::write(&temporary, rest)?;
            fs::set_permissions(&temporary, fs::metadata(&path)?.permissions())?;
            fs::rename(&temporary, &path)?;
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_and_flags_are_completed() {
        assert_eq!(candidates("lictor kv "), ["delete", "export", "get", "import", "put"]);
        assert_eq!(candidates("consul kv g"), ["get"]);
        assert_eq!(candidates("lictor me"), ["members"]);
        assert_eq!(candidates("lictor operator raft l"), ["list-peers"]);
        assert!(candidates("lictor ").contains(&"agent".to_owned()));
        assert_eq!(candidates("lictor kv get -rec"), ["-recurse"]);
        assert_eq!(candidates("lictor kv get --rec"), ["--recurse"]);
        assert_eq!(candidates("lictor kv get -http-"), ["-http-addr"]);
        assert!(candidates("lictor agent -data").contains(&"-data-dir".to_owned()));
        assert!(candidates("lictor nosuch -").is_empty() && candidates("").contains(&"kv".into()));
    }

    #[test]
    fn start_files_get_the_line_once_and_lose_it_again() {
        let home = tempfile::tempdir().unwrap();
        let (bash, zsh) = (home.path().join(".bashrc"), home.path().join(".zshrc"));
        fs::write(&bash, "alias a=b").unwrap();
        fs::write(&zsh, "").unwrap();
        let binary = Path::new("/usr/bin/lictor");
        assert_eq!(change(home.path(), binary, true).unwrap(), 2);
        assert_eq!(change(home.path(), binary, true).unwrap(), 0);
        let name = program();
        let text = fs::read_to_string(&bash).unwrap();
        assert_eq!(text, format!("alias a=b\ncomplete -C /usr/bin/lictor {name}\n"));
        assert!(fs::read_to_string(&zsh).unwrap().starts_with("autoload"));
        assert_eq!(change(home.path(), binary, false).unwrap(), 2);
        assert_eq!(fs::read_to_string(&bash).unwrap(), "alias a=b\n");
        assert_eq!(change(home.path(), binary, false).unwrap(), 0);
    }

    proptest! {
        #[test]
        fn any_line_is_completed_or_not(line in "\\PC{0,20}|lictor [a-z -]{0,20}") {
            let _ = candidates(&line);
        }
    }
}
