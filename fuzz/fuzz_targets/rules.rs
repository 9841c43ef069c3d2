//! Policies: any text is rules or an error, what was translated is read as what it was before, and
//! decisions about any name come to an end.
#![no_main]

use lictor_acl::{Authorizer, DefaultPolicy, Rules, translate};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let legacy = Rules::parse_legacy(text);
    // Names of today mean nothing in the old language, and something after a translation.
    let old = Rules::parse(text).is_ok_and(|rules| rules.rules.iter().all(|rule| !rule.prefix));
    if let Some(new) = translate(text).ok().filter(|_| old) {
        assert_eq!(Rules::parse(&new).ok().map(|rules| rules.rules), legacy.ok().map(|r| r.rules));
    }
    if let Ok(rules) = Rules::parse(text) {
        let who = Authorizer::new([&rules, &rules], DefaultPolicy::Deny);
        let mut names: Vec<&str> = rules.rules.iter().map(|rule| rule.segment.as_str()).collect();
        names.extend(["", "*", text]);
        for name in names {
            assert!(!who.key_write(name) || who.key_read(name));
            assert!(!who.key_write_prefix(name) || who.key_write(name) || name.is_empty());
            let _ = (who.service_read(name), who.intention_write(name));
        }
    }
});
