//! Texts with `{{ … }}` in them that choose addresses of this machine.
//!
//! The common functions of the original's address templates are here, with pipes between them;
//! any other one is refused by name. Finding the interfaces is [`super::interfaces`]'s.

mod attribute;
mod block;
mod filter;

use super::interfaces::{Interface, Network};

/// Why a template gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// `{{` without `}}`, or a text without its end.
    #[error("unclosed action in template {0:?}")]
    Unclosed(String),
    /// A function that is not known.
    #[error("template function {0:?} is not supported")]
    Unknown(String),
    /// A function with wrong words after it, or before it in the pipe.
    #[error("template function {0:?} cannot be used like that")]
    Misused(String),
    /// A selector, attribute or key of sorting that is not known.
    #[error("template function {function:?} does not know {word:?}")]
    Word {
        /// The function.
        function: &'static str,
        /// What it was given.
        word: String,
    },
    /// The template ends with interfaces instead of text.
    #[error("template {0:?} gives interfaces: add | attr \"address\"")]
    NoText(String),
    /// The interfaces could not be listed.
    #[error("cannot list network interfaces: {0}")]
    Network(String),
}

/// What flows through a pipe.
#[derive(Clone, Debug)]
enum Flow {
    Interfaces(Vec<Interface>),
    Text(String),
}

/// `text` with all its templates replaced, and without blanks around it.
pub(super) fn expand(text: &str, network: &Network) -> Result<String, TemplateError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((inner, after)) = after.split_once("}}") else {
            return Err(TemplateError::Unclosed(text.to_owned()));
        };
        out.push_str(before);
        out.push_str(&pipe(inner, network)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out.trim().to_owned())
}

fn pipe(inner: &str, network: &Network) -> Result<String, TemplateError> {
    let mut flow = None;
    for stage in stages(inner)? {
        flow = Some(call(&stage, flow, network)?);
    }
    match flow {
        Some(Flow::Text(text)) => Ok(text),
        _ => Err(TemplateError::NoText(inner.trim().to_owned())),
    }
}

/// The words between the bars; texts in quotes are one word.
fn stages(inner: &str) -> Result<Vec<Vec<String>>, TemplateError> {
    let mut all = vec![Vec::new()];
    let mut chars = inner.chars().peekable();
    while let Some(first) = chars.next() {
        let mut word = String::new();
        match first {
            c if c.is_whitespace() => continue,
            '|' => {
                all.push(Vec::new());
                continue;
            }
            '"' | '`' => loop {
                match chars.next() {
                    None => return Err(TemplateError::Unclosed(inner.to_owned())),
                    Some(c) if c == first => break,
                    Some('\\') if first == '"' => match chars.next() {
                        Some(c @ ('"' | '\\')) => word.push(c),
                        Some(c) => word.extend(['\\', c]),
                        None => return Err(TemplateError::Unclosed(inner.to_owned())),
                    },
                    Some(c) => word.push(c),
                }
            },
            c => {
                word.push(c);
                while let Some(c) =
                    chars.next_if(|c| !c.is_whitespace() && !matches!(c, '|' | '"' | '`'))
                {
                    word.push(c);
                }
            }
        }
        if let Some(stage) = all.last_mut() {
            stage.push(word);
        }
    }
    Ok(all)
}

fn call(stage: &[String], input: Option<Flow>, network: &Network) -> Result<Flow, TemplateError> {
    let words: Vec<&str> = stage.iter().map(String::as_str).collect();
    let Some((name, args)) = words.split_first() else {
        return Err(TemplateError::Misused(String::new()));
    };
    let all = || {
        let found = network.interfaces();
        found.map(<[_]>::to_vec).map_err(|error| TemplateError::Network(error.to_string()))
    };
    let usable = |private: bool| all().map(|all| filter::usable(all, private));
    let first = |found: Vec<Interface>| {
        Flow::Text(found.first().map(|i| i.address.to_string()).unwrap_or_default())
    };
    Ok(match (*name, args, input) {
        ("GetAllInterfaces", [], None) => Flow::Interfaces(all()?),
        ("GetDefaultInterfaces", [], None) => {
            Flow::Interfaces(all()?.into_iter().filter(|i| i.default).collect())
        }
        ("GetPrivateInterfaces", [], None) => Flow::Interfaces(usable(true)?),
        ("GetPublicInterfaces", [], None) => Flow::Interfaces(usable(false)?),
        ("GetPrivateIP", [], None) => first(usable(true)?),
        ("GetPublicIP", [], None) => first(usable(false)?),
        ("GetPrivateIPs", [], None) => Flow::Text(filter::addresses(&usable(true)?, " ")),
        ("GetPublicIPs", [], None) => Flow::Text(filter::addresses(&usable(false)?, " ")),
        ("GetInterfaceIP", [name], None) => first(filter::of_interface(all()?, name)?),
        ("GetInterfaceIPs", [name], None) => {
            Flow::Text(filter::addresses(&filter::of_interface(all()?, name)?, " "))
        }
        (name, args, Some(Flow::Interfaces(found))) => pass(name, args, found)?,
        (name, _, _) if KNOWN.contains(&name) => {
            return Err(TemplateError::Misused(name.to_owned()));
        }
        (name, _, _) => return Err(TemplateError::Unknown(name.to_owned())),
    })
}

const KNOWN: &[&str] = &[
    "GetAllInterfaces",
    "GetDefaultInterfaces",
    "GetPrivateInterfaces",
    "GetPublicInterfaces",
    "GetPrivateIP",
    "GetPublicIP",
    "GetPrivateIPs",
    "GetPublicIPs",
    "GetInterfaceIP",
    "GetInterfaceIPs",
    "include",
    "exclude",
    "sort",
    "limit",
    "offset",
    "unique",
    "attr",
    "join",
    "math",
];

/// A function that takes interfaces out of the pipe.
fn pass(name: &str, args: &[&str], mut found: Vec<Interface>) -> Result<Flow, TemplateError> {
    let misused = || TemplateError::Misused(name.to_owned());
    let number = |word: &str| word.parse::<i64>().map_err(|_| misused());
    Ok(Flow::Interfaces(match (name, args) {
        ("include", [selector, word]) => filter::keep(found, selector, word, true)?,
        ("exclude", [selector, word]) => filter::keep(found, selector, word, false)?,
        ("sort", [by]) => filter::sort(found, by)?,
        ("limit", [count]) => {
            found.truncate(usize::try_from(number(count)?).map_err(|_| misused())?);
            found
        }
        ("offset", [by]) => {
            let by = number(by)?;
            let skipped = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
            // A negative one counts from the end.
            let skipped = if by < 0 { found.len().saturating_sub(skipped) } else { skipped };
            found.into_iter().skip(skipped).collect()
        }
        ("unique", [by]) => filter::unique(found, by)?,
        ("math", [by, change]) => filter::math(found, by, change)?,
        ("attr", [attribute]) => {
            let first = found.first().map(|i| attribute::of(i, attribute)).transpose()?;
            return Ok(Flow::Text(first.unwrap_or_default()));
        }
        ("join", [attribute, between]) => {
            let all: Result<Vec<_>, _> =
                found.iter().map(|i| attribute::of(i, attribute)).collect();
            return Ok(Flow::Text(all?.join(between)));
        }
        (name, _) if KNOWN.contains(&name) => return Err(misused()),
        (name, _) => return Err(TemplateError::Unknown(name.to_owned())),
    }))
}

#[cfg(test)]
mod tests;
