//! A policy of the old language as one of today's: blocks are renamed, all else stays as it is
//! written, comments included.

use lictor_hcl::root_keys;

use crate::parse::RulesError;
use crate::rules::{Rule, Rules, Segmented};

/// Rewrites a policy of the old language, in which all blocks are about beginnings.
///
/// # Errors
/// When it is no policy of the old language, or would not mean the same.
pub fn translate(text: &str) -> Result<String, RulesError> {
    let legacy = Rules::parse_legacy(text)?;
    let keys = root_keys(text).map_err(|error| RulesError::Syntax(error.to_string()))?;
    let mut out = String::with_capacity(text.len() + 64);
    let mut copied = 0;
    for key in keys {
        let written = text.get(key.clone()).unwrap_or_default();
        let word = written.trim_matches('"');
        if word.contains('\\') {
            let text = format!("the name {word:?} must be written without escapes");
            return Err(RulesError::Syntax(text));
        }
        let lower = word.to_lowercase();
        if Segmented::ALL.into_iter().any(|resource| resource.as_str() == lower) {
            let end = if written.ends_with('"') { key.end - 1 } else { key.end };
            out.push_str(text.get(copied..end).unwrap_or_default());
            out.push_str("_prefix");
            copied = end;
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    // A block that has a name of today already takes, in JSON, the place of a renamed one.
    if contains(&Rules::parse(&out)?.rules, &legacy.rules) {
        Ok(out)
    } else {
        let text = "names with and without _prefix must not be mixed";
        Err(RulesError::Syntax(text.to_owned()))
    }
}

/// Whether all rules are there, in any order with others between.
fn contains(all: &[Rule], wanted: &[Rule]) -> bool {
    wanted.iter().all(|rule| all.contains(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_renamed_and_all_else_stays() {
        let old = "# key \"x\"\nkey \"key\" { policy = \"read\" } // node\n\
            \"service\" \"a\" {\n  policy = \"write\"\n  intentions = \"deny\"\n}\n\
            event = { \"e\" = { policy = \"deny\" } }\n/* query */ operator = \"read\"\n\
            keyring = \"write\" query \"\" { policy = \"read\" }";
        let new = "# key \"x\"\nkey_prefix \"key\" { policy = \"read\" } // node\n\
            \"service_prefix\" \"a\" {\n  policy = \"write\"\n  intentions = \"deny\"\n}\n\
            event_prefix = { \"e\" = { policy = \"deny\" } }\n/* query */ operator = \"read\"\n\
            keyring = \"write\" query_prefix \"\" { policy = \"read\" }";
        assert_eq!(translate(old).unwrap(), new);
        assert_eq!(Rules::parse(new).unwrap(), Rules::parse_legacy(old).unwrap());
    }

    #[test]
    fn json_stays_json() {
        let old =
            r#"{"key":{"key":{"policy":"read"}},"operator":"read","node":{"":{"policy":"write"}}}"#;
        let new = r#"{"key_prefix":{"key":{"policy":"read"}},"operator":"read","node_prefix":{"":{"policy":"write"}}}"#;
        assert_eq!(translate(old).unwrap(), new);
    }

    /// Comments that hold what looks like their own ends or beginnings of texts and blocks.
    #[test]
    fn what_hides_in_comments_and_texts_changes_nothing() {
        for before in [
            "keey \"\"{ policy = \"write\"/*/lquec[[{\"a/*/policy = \"write\" }",
            "/*/ { */",
            "# \" {\r\n",
            "// /* {\n",
            "x = <<-key\n  {\n  key\n",
            "x = \"${\"{}\"}\"",
            "x = [\"}\", \"]\"]",
        ] {
            let old = format!("{before}\nkey \"q\" {{ policy = \"write\" }}");
            let new = translate(&old).unwrap();
            assert!(new.ends_with("key_prefix \"q\" { policy = \"write\" }"), "{new}");
            let legacy = Rules::parse_legacy(&old).unwrap();
            assert_eq!(legacy.rules.len(), 1, "{old}");
            assert_eq!(Rules::parse(&new).unwrap(), legacy, "{old}");
        }
    }

    #[test]
    fn a_rule_does_not_get_lost() {
        let mixed = r#"{"key":{"a":{"policy":"deny"}},"key_prefix":{}}"#;
        assert!(translate(mixed).is_err());
        let mixed = "key \"a\" { policy = \"deny\" } key_prefix \"b\" { policy = \"read\" }";
        assert!(translate(mixed).is_ok());
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let error = translate("key \"a\" {").unwrap_err().to_string();
        assert!(error.starts_with("Failed to parse ACL rules: "), "{error}");
        assert_eq!(translate("").unwrap(), "");
        // One that means `key`, but does not say so.
        assert!(translate("\"k\\u0065y\" \"a\" { policy = \"read\" }").is_err());
    }
}
