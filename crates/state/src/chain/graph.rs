//! A chain as a graph: circles, splitters behind splitters, nodes that nothing leads to.

use std::collections::{BTreeMap, BTreeSet};

use lictor_types::chain::{Node, Split, Step};

use super::{ChainError, SPLITS_MAX};

type Nodes = BTreeMap<String, Node>;

/// Where a node leads to.
fn ways(node: &Node) -> Vec<&str> {
    match &node.step {
        Step::Router(routes) => routes.iter().map(|route| &*route.next).collect(),
        Step::Splitter { splits, .. } => splits.iter().map(|split| &*split.next).collect(),
        Step::Resolver { .. } => Vec::new(),
    }
}

/// Refuses a graph in which a way leads back to where it came from.
///
/// The last way out of a node is looked at first, which decides what circle is told where there
/// are several. What was once left without one need not be looked at again.
pub(super) fn refuse_circles(nodes: &Nodes, start: &str) -> Result<(), ChainError> {
    enum Move<'a> {
        Enter(&'a str),
        Leave(&'a str),
    }
    let mut left = BTreeSet::new();
    let mut way = Vec::new();
    let mut todo = vec![Move::Enter(start)];
    while let Some(next) = todo.pop() {
        let at = match next {
            Move::Enter(at) if left.contains(at) => continue,
            Move::Enter(at) => at,
            Move::Leave(at) => {
                way.pop();
                left.insert(at);
                continue;
            }
        };
        let circle = way.contains(&at);
        way.push(at);
        if circle {
            return Err(ChainError::CircularReference(
                way.into_iter().map(str::to_owned).collect(),
            ));
        }
        todo.push(Move::Leave(at));
        if let Some(node) = nodes.get(at) {
            todo.extend(ways(node).into_iter().map(Move::Enter));
        }
    }
    Ok(())
}

/// Puts the splits of a splitter in the place of a split that leads to it, until all lead to
/// resolvers. There must be no circles.
pub(super) fn flatten(nodes: &mut Nodes, chain: &str) -> Result<(), ChainError> {
    let splitters: Vec<String> = nodes
        .iter()
        .filter(|(_, node)| splits(node).is_some())
        .map(|(key, _)| key.clone())
        .collect();
    loop {
        let mut changed = false;
        let mut total = 0;
        for key in &splitters {
            let Some(own) = nodes.get(key).and_then(splits) else { continue };
            let inner = |split: &Split| nodes.get(&split.next).and_then(splits);
            let grown: usize = own.iter().map(|split| inner(split).map_or(1, <[_]>::len)).sum();
            total += grown;
            if total > SPLITS_MAX {
                return Err(ChainError::TooManySplits { chain: chain.to_owned() });
            }
            if !own.iter().any(|split| inner(split).is_some()) {
                continue;
            }
            let mut flat = Vec::with_capacity(grown);
            for split in own {
                let Some(parts) = inner(split) else {
                    flat.push(split.clone());
                    continue;
                };
                flat.extend(parts.iter().map(|part| Split {
                    weight: normalized(split.weight * part.weight / 100.0),
                    next: part.next.clone(),
                }));
            }
            changed = true;
            if let Some(Node { step: Step::Splitter { splits, .. }, .. }) = nodes.get_mut(key) {
                *splits = flat;
            }
        }
        if !changed {
            return Ok(());
        }
    }
}

fn splits(node: &Node) -> Option<&[Split]> {
    match &node.step {
        Step::Splitter { splits, .. } => Some(splits),
        _ => None,
    }
}

/// Hundredths of a hundredth: the smallest part that there is.
#[expect(clippy::cast_possible_truncation, reason = "a small number of two digits")]
fn normalized(weight: f32) -> f32 {
    (f64::from(weight * 100.0).round() as f32) / 100.0
}

/// Takes nodes out that nothing leads to.
pub(super) fn prune(nodes: &mut Nodes, start: &str) {
    let mut reached = BTreeSet::new();
    let mut todo = vec![start.to_owned()];
    while let Some(at) = todo.pop() {
        if let Some(node) = nodes.get(&at)
            && reached.insert(at)
        {
            todo.extend(ways(node).into_iter().map(str::to_owned));
        }
    }
    nodes.retain(|key, _| reached.contains(key));
}
