//! Which steps move together: fused edges, as many as leave the units a DAG.
//!
//! A unit that reads the log, of what it writes itself or of what another unit makes of that, would wait for itself:
//! it has finished when it has read everything, and the end of what it reads is known when its writer has finished.

use super::Node;
use std::collections::BTreeMap;

/// An edge between two nodes of a flow, and whether it may be fused.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Who makes the items.
    pub from: Node,
    /// Who takes them.
    pub to: Node,
    /// It may be fused.
    pub may_fuse: bool,
}

/// The group of each node. Nodes of one group are joined by edges that may be fused, and the groups are a DAG.
///
/// Edges are looked at in their order; one is fused unless its ends are also joined by another way that leads through
/// the log. Cost: edges squared, for flows of thousands of streams.
pub fn groups(nodes: &[Node], links: &[Link]) -> BTreeMap<Node, usize> {
    let number: BTreeMap<Node, usize> = nodes.iter().enumerate().map(|(i, n)| (*n, i)).collect();
    let links: Vec<(usize, usize, bool)> =
        links.iter().filter_map(|l| Some((*number.get(&l.from)?, *number.get(&l.to)?, l.may_fuse))).collect();
    let mut group: Vec<usize> = (0..nodes.len()).collect();
    let mut rejected = vec![false; links.len()];
    for (i, (from, to, may_fuse)) in links.iter().enumerate() {
        let (a, b) = (group[*from], group[*to]);
        if !may_fuse || a == b {
            continue;
        }
        if detour(&group, &links, &rejected, a, b) {
            rejected[i] = true;
        } else {
            group.iter_mut().filter(|g| **g == b).for_each(|g| *g = a);
        }
    }
    number.into_iter().map(|(node, i)| (node, group[i])).collect()
}

/// Whether group `b` is reached from group `a` in another way than by edges between the two that may be fused.
fn detour(group: &[usize], links: &[(usize, usize, bool)], rejected: &[bool], a: usize, b: usize) -> bool {
    let mut out: BTreeMap<usize, Vec<(usize, bool)>> = BTreeMap::new();
    for ((from, to, may_fuse), rejected) in links.iter().zip(rejected) {
        let (from, to) = (group[*from], group[*to]);
        if from != to {
            out.entry(from).or_default().push((to, *may_fuse && !rejected));
        }
    }
    let mut seen = vec![false; group.len()];
    let mut todo = vec![a];
    while let Some(at) = todo.pop() {
        for (to, may_fuse) in out.get(&at).into_iter().flatten() {
            if *to == b && !(at == a && *may_fuse) {
                return true;
            }
            if *to != b && !std::mem::replace(&mut seen[*to], true) {
                todo.push(*to);
            }
        }
    }
    false
}
