//! The files that the configuration is read from, where the agent is to follow them by itself.
//!
//! They are looked at once a second: unlike what the kernel tells of changes, that works for files
//! of other machines as well, and for folders whose links are exchanged as a whole. A change counts
//! when the files have not changed again at the next look, so that one half of it is not read.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::config::{Config, Sources};

const PAUSE: Duration = Duration::from_secs(1);

/// What tells a file from what it was: device, number, length, and time of its last change.
type Mark = (u64, u64, u64, i64, i64);
type Marks = BTreeMap<PathBuf, Option<Mark>>;

/// Files that are followed.
#[derive(Debug)]
pub(crate) struct Followed {
    sources: Sources,
    /// Certificates and keys, which are read again as well.
    others: Vec<PathBuf>,
    known: Marks,
    /// What was found at the last look, if that was something new.
    fresh: Option<Marks>,
    looks: Interval,
}

impl Followed {
    /// The files of `sources` and those that `config` names, as they are now.
    pub(crate) fn new(sources: Sources, config: &Config) -> Self {
        let tls = config.http.tls.iter();
        let others = tls.flat_map(|tls| {
            [Some(&tls.cert_file), Some(&tls.key_file), tls.ca_file.as_ref()].into_iter().flatten()
        });
        let others = others.cloned().collect();
        let mut looks = interval(PAUSE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut followed = Self { sources, others, known: Marks::new(), fresh: None, looks };
        followed.known = followed.marks();
        followed
    }

    /// Waits until the files have changed. Nothing is lost when it is given up and called again.
    pub(crate) async fn changed(&mut self) {
        loop {
            self.looks.tick().await;
            if self.look() {
                return;
            }
        }
    }

    /// Whether a change is complete.
    fn look(&mut self) -> bool {
        let found = self.marks();
        if found == self.known {
            self.fresh = None;
            return false;
        }
        if self.fresh.as_ref() != Some(&found) {
            self.fresh = Some(found);
            return false;
        }
        self.fresh = None;
        self.known = found;
        true
    }

    fn marks(&self) -> Marks {
        let files = self.sources.files().into_iter().chain(self.others.iter().cloned());
        files
            .map(|path| {
                let mark = fs::metadata(&path).ok().map(|found| {
                    let changed = (found.mtime(), found.mtime_nsec());
                    (found.dev(), found.ino(), found.len(), changed.0, changed.1)
                });
                (path, mark)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_change_counts_when_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("a.hcl", "");
        write("key.pem", "1");
        let others = vec![folder.path().join("key.pem")];
        let (known, fresh, looks) = (Marks::new(), None, interval(PAUSE));
        let sources = Sources::of_folder(folder.path());
        let mut followed = Followed { sources, others, known, fresh, looks };
        followed.known = followed.marks();
        assert_eq!(followed.known.len(), 2);
        assert!(!followed.look() && !followed.look());
        write("b.hcl", "x");
        write("ignored", "x");
        assert!(!followed.look());
        write("b.hcl", "xy");
        assert!(!followed.look() && followed.look(), "it changed again, and then no more");
        assert!(!followed.look());
        write("key.pem", "22");
        assert!(!followed.look() && followed.look());
        fs::remove_file(folder.path().join("b.hcl")).unwrap();
        assert!(!followed.look());
        write("b.hcl", "back");
        assert!(!followed.look() && followed.look());
    }
}
