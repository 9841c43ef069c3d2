//! The intentions of a destination.

use std::collections::HashSet;

use lictor_types::intention::WILDCARD;
use lictor_types::limits::META_VALUE_MAX;

use super::{Fields, HEADER_WAYS, items, methods, part, paths, text, ways};

fn wildcards(name: &str) -> Result<(), String> {
    match name != WILDCARD && name.contains(WILDCARD) {
        true => Err("Name: wildcard character '*' cannot be used with partial values".to_owned()),
        false => Ok(()),
    }
}

fn is_action(action: &str) -> bool {
    matches!(action, "allow" | "deny")
}

pub(super) fn intentions(name: &str, fields: &Fields) -> Result<(), String> {
    wildcards(name)?;
    let mut known = HashSet::new();
    for (at, source) in items(fields, "Sources").enumerate() {
        let from = text(source, "Name");
        if from.is_empty() {
            return Err(format!("Sources[{at}].Name is required"));
        }
        wildcards(from).map_err(|problem| format!("Sources[{at}].{problem}"))?;
        if text(source, "Description").len() > META_VALUE_MAX {
            return Err(format!(
                "Sources[{at}].Description exceeds maximum length {META_VALUE_MAX}"
            ));
        }
        if part(source, "LegacyMeta").is_some_and(|meta| !meta.is_empty()) {
            return Err(format!("Sources[{at}].LegacyMeta must be omitted"));
        }
        let permissions: Vec<_> = items(source, "Permissions").collect();
        let action = text(source, "Action");
        if permissions.is_empty() && !is_action(action) {
            return Err(format!("Sources[{at}].Action must be set to 'allow' or 'deny'"));
        }
        if !permissions.is_empty() && !action.is_empty() {
            return Err(format!(
                "Sources[{at}].Action must be omitted if Permissions are specified"
            ));
        }
        if name == WILDCARD && !permissions.is_empty() {
            return Err(format!(
                "Sources[{at}].Permissions cannot be specified on intentions with wildcarded \
                 destinations"
            ));
        }
        if text(source, "Type") != "consul" {
            return Err(format!("Sources[{at}].Type must be set to 'consul'"));
        }
        for (of, permission) in permissions.into_iter().enumerate() {
            permission_rules(permission, &format!("Sources[{at}].Permissions[{of}]"))?;
        }
        if !known.insert(from.to_lowercase()) {
            return Err(format!("Sources[{at}] defines {from:?} more than once"));
        }
    }
    if known.is_empty() {
        return Err("At least one source is required".to_owned());
    }
    Ok(())
}

fn permission_rules(permission: &Fields, prefix: &str) -> Result<(), String> {
    if !is_action(text(permission, "Action")) {
        return Err(format!("{prefix}.Action must be set to 'allow' or 'deny'"));
    }
    let Some(http) = part(permission, "HTTP") else {
        return Err(format!("{prefix}.HTTP is required"));
    };
    let count =
        paths(http, |name, path| format!("{prefix}.HTTP.{name} doesn't start with '/': {path:?}"))?;
    if count > 1 {
        return Err(format!(
            "{prefix}.HTTP should only contain at most one of PathExact, PathPrefix, or PathRegex"
        ));
    }
    let mut parts = count;
    for (at, header) in items(http, "Header").enumerate() {
        if text(header, "Name").is_empty() {
            return Err(format!("{prefix}.HTTP.Header[{at}] missing required Name field"));
        }
        if ways(header, &HEADER_WAYS) != 1 {
            return Err(format!(
                "{prefix}.HTTP.Header[{at}] should only contain one of Present, Exact, Prefix, \
                 Suffix, or Regex"
            ));
        }
        parts += 1;
    }
    parts += usize::from(methods(http, &format!("{prefix}.HTTP."))?);
    if parts == 0 {
        return Err(format!("{prefix}.HTTP should not be empty"));
    }
    Ok(())
}
