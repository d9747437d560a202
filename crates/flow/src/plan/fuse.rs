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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::StepNo;
    use proptest::prelude::*;
    use std::collections::{BTreeSet, VecDeque};

    /// A DAG: edges lead from a smaller number to a larger one.
    fn dag() -> impl Strategy<Value = (usize, Vec<Link>)> {
        let edges = proptest::collection::vec((0..12usize, 0..12usize, any::<bool>()), 0..40);
        edges.prop_map(|edges| {
            let link = |(a, b, may_fuse): (usize, usize, bool)| Link {
                from: Node::Step(StepNo(a.min(b))),
                to: Node::Step(StepNo(a.max(b))),
                may_fuse,
            };
            (12, edges.into_iter().filter(|(a, b, _)| a != b).map(link).collect())
        })
    }

    /// What is left of groups when those without an edge from another one are taken away again and again.
    fn circle(group: &BTreeMap<Node, usize>, links: &[Link]) -> BTreeSet<usize> {
        let edges: BTreeSet<(usize, usize)> =
            links.iter().map(|l| (group[&l.from], group[&l.to])).filter(|(a, b)| a != b).collect();
        let mut left: BTreeSet<usize> = group.values().copied().collect();
        let mut todo: VecDeque<usize> = left.iter().copied().collect();
        while let Some(g) = todo.pop_front() {
            let waits = edges.iter().any(|(a, b)| *b == g && left.contains(a));
            if !waits && left.remove(&g) {
                todo.extend(edges.iter().filter(|(a, _)| *a == g).map(|(_, b)| *b));
            }
        }
        left
    }

    proptest! {
        #[test]
        fn units_wait_for_each_other_in_no_circle_and_never_for_themselves((n, links) in dag()) {
            let nodes: Vec<Node> = StepNo::first(n).map(Node::Step).collect();
            let group = groups(&nodes, &links);
            prop_assert_eq!(circle(&group, &links), BTreeSet::new());
            // what is in one group is handed over in memory; what goes through the log leads to another group
            for link in links.iter().filter(|l| !l.may_fuse) {
                prop_assert_ne!(group[&link.from], group[&link.to]);
            }
        }

        #[test]
        fn a_chain_is_one_unit(n in 1..12usize) {
            let nodes: Vec<Node> = StepNo::first(n).map(Node::Step).collect();
            let chain = |i: usize| Link { from: Node::Step(StepNo(i - 1)), to: Node::Step(StepNo(i)), may_fuse: true };
            let group = groups(&nodes, &(1..n).map(chain).collect::<Vec<_>>());
            prop_assert_eq!(group.values().collect::<BTreeSet<_>>().len(), 1);
        }
    }
}
