//! The text of a policy: HCL, or JSON.
//!
//! Two languages are read. In today's a block is about one name, or with `_prefix` about all that
//! begin alike. In the old one (1.2, for tokens made then) every block is about beginnings. Errors
//! have the original's texts; unknown names are passed over, as it does.

use lictor_hcl::{Data, Object, Value, parse_hcl};

use crate::rules::{Level, Rule, Rules, Segmented};

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// It cannot be read.
    #[error("Failed to parse ACL rules: {0}")]
    Syntax(String),
    /// A level that there is not, or not for that resource.
    #[error("Invalid {block} policy: {shown}")]
    Level {
        /// The block it is in.
        block: String,
        /// The rule as it was understood, in the original's notation.
        shown: String,
    },
}

impl Rules {
    /// Reads a policy of today's language.
    ///
    /// # Errors
    /// When it cannot be read, or a level does not exist.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        read(text, false)
    }

    /// Reads a policy of the old language, in which all blocks are about beginnings.
    ///
    /// # Errors
    /// See [`Rules::parse`].
    pub fn parse_legacy(text: &str) -> Result<Self, RulesError> {
        read(text, true)
    }
}

fn read(text: &str, legacy: bool) -> Result<Rules, RulesError> {
    let root = parse_hcl(text).map_err(|error| RulesError::Syntax(error.to_string()))?;
    let mut rules = Rules::default();
    for field in root.objects().iter().flat_map(|object| &object.fields) {
        let key = field.key.to_lowercase();
        match key.as_str() {
            "acl" if !legacy => rules.acl = scalar("acl", &field.value)?,
            "keyring" => rules.keyring = scalar("keyring", &field.value)?,
            "operator" => rules.operator = scalar("operator", &field.value)?,
            block => {
                let exact = block.strip_suffix("_prefix").filter(|_| !legacy);
                let name = exact.unwrap_or(block);
                let resource = Segmented::ALL.into_iter().find(|one| one.as_str() == name);
                if let Some(resource) = resource {
                    let prefix = legacy || exact.is_some();
                    blocks(&field.value, block, resource, prefix, &mut rules.rules)?;
                }
            }
        }
    }
    Ok(rules)
}

/// Reads the blocks of one resource: names, each with its levels.
fn blocks(
    value: &Value,
    block: &str,
    resource: Segmented,
    prefix: bool,
    rules: &mut Vec<Rule>,
) -> Result<(), RulesError> {
    let Data::Objects { objects, .. } = &value.data else {
        return match &value.data {
            Data::List(items) if items.is_empty() => Ok(()),
            _ => Err(syntax(value.line, block, "must be blocks with a name")),
        };
    };
    for field in objects.iter().flat_map(|object| &object.fields) {
        let Data::Objects { objects, .. } = &field.value.data else {
            return Err(syntax(field.line, block, "needs a name before its block"));
        };
        for object in objects {
            let policy = text_of(object, "policy")?;
            let intentions = match resource {
                Segmented::Service => text_of(object, "intentions")?,
                _ => String::new(),
            };
            let level = Level::parse(&policy)
                .filter(|level| *level != Level::List || resource == Segmented::Key);
            let about = Level::parse(&intentions).filter(|level| *level != Level::List);
            let shown = || shown(resource, &field.key, &policy, &intentions);
            let Some(level) = level else {
                return Err(RulesError::Level { block: block.to_owned(), shown: shown() });
            };
            if about.is_none() && !intentions.is_empty() {
                let block = format!("{block} intentions");
                return Err(RulesError::Level { block, shown: shown() });
            }
            let segment = field.key.clone();
            rules.push(Rule { resource, segment, prefix, level, intentions: about });
        }
    }
    Ok(())
}

/// The last text of a name, in whatever case it is written; empty when there is none.
fn text_of(object: &Object, name: &str) -> Result<String, RulesError> {
    let fields = object.fields.iter().rev();
    let mut fields = fields.filter(|field| field.key.eq_ignore_ascii_case(name));
    match fields.next() {
        Some(field) => text(name, &field.value),
        None => Ok(String::new()),
    }
}

fn text(name: &str, value: &Value) -> Result<String, RulesError> {
    match &value.data {
        Data::Text(text) => Ok(text.clone()),
        Data::Int(number) => Ok(number.to_string()),
        Data::Float(number) => Ok(number.to_string()),
        Data::Null => Ok(String::new()),
        _ => Err(syntax(value.line, name, &format!("must be a string, not {}", value.kind()))),
    }
}

fn scalar(name: &str, value: &Value) -> Result<Option<Level>, RulesError> {
    let text = text(name, value)?;
    match Level::parse(&text).filter(|level| *level != Level::List) {
        None if text.is_empty() => Ok(None),
        None => Err(RulesError::Level { block: name.to_owned(), shown: format!("{text:?}") }),
        level => Ok(level),
    }
}

fn syntax(line: u32, name: &str, problem: &str) -> RulesError {
    RulesError::Syntax(format!("At {line}:1: {name} {problem}"))
}

/// A rule as the original's errors show it.
fn shown(resource: Segmented, segment: &str, policy: &str, intentions: &str) -> String {
    const MORE: &str = ", EnterpriseRule:acl.EnterpriseRule{}";
    let (kind, name, more) = match resource {
        Segmented::Agent => ("AgentRule", "Node", ""),
        Segmented::Event => ("EventRule", "Event", ""),
        Segmented::Key => ("KeyRule", "Prefix", MORE),
        Segmented::Node => ("NodeRule", "Name", MORE),
        Segmented::Query => ("PreparedQueryRule", "Prefix", ""),
        Segmented::Service => ("ServiceRule", "Name", MORE),
        Segmented::Session => ("SessionRule", "Node", ""),
    };
    let intentions = match resource {
        Segmented::Service => format!(", Intentions:{intentions:?}"),
        _ => String::new(),
    };
    format!("&acl.{kind}{{{name}:{segment:?}, Policy:{policy:?}{intentions}{more}}}")
}

#[cfg(test)]
mod tests;
