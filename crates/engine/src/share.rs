//! How the lanes of a flow are shared among its processes.

use crate::types::LaneNo;
use std::collections::BTreeMap;

/// Gives each member its lanes: equally many, give or take one. Who holds lanes keeps the first of them, so that lane 0
/// stays where it is; a lane that a member holds beyond its share is given to nobody until it is given back.
pub fn share(lanes: u32, members: &[(String, Vec<LaneNo>)]) -> BTreeMap<String, Vec<LaneNo>> {
    let mut shares: BTreeMap<String, Vec<LaneNo>> = members.iter().map(|(id, _)| (id.clone(), vec![])).collect();
    if members.is_empty() {
        return shares;
    }
    // who holds most, and lane 0 before all, may have one more than the others
    let mut order: Vec<&(String, Vec<LaneNo>)> = members.iter().collect();
    order.sort_by_key(|(id, holds)| (!holds.contains(&0), std::cmp::Reverse(holds.len()), id.clone()));
    let each = lanes as usize / members.len();
    let more = lanes as usize % members.len();
    let room = |i: usize| each + usize::from(i < more);
    let mut holder: BTreeMap<LaneNo, usize> = BTreeMap::new();
    for (i, (id, holds)) in order.iter().enumerate() {
        let mut holds: Vec<LaneNo> = holds.iter().copied().filter(|lane| *lane < lanes).collect();
        holds.sort_unstable();
        holds.dedup();
        holds.retain(|lane| *holder.entry(*lane).or_insert(i) == i);
        holds.truncate(room(i));
        shares.insert(id.clone(), holds);
    }
    let mut free = (0..lanes).filter(|lane| !holder.contains_key(lane));
    for (i, (id, _)) in order.iter().enumerate() {
        let share = shares.entry(id.clone()).or_default();
        share.extend(free.by_ref().take(room(i).saturating_sub(share.len())));
        share.sort_unstable();
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn crew(holds: &[&[LaneNo]]) -> Vec<(String, Vec<LaneNo>)> {
        holds.iter().enumerate().map(|(i, h)| (format!("m{i}"), h.to_vec())).collect()
    }

    #[test]
    fn the_first_gets_all_and_the_second_what_the_first_gives_back() {
        let all: Vec<LaneNo> = (0..5).collect();
        assert_eq!(share(5, &crew(&[&[]]))["m0"], all);
        let two = share(5, &crew(&[&all, &[]]));
        assert_eq!((&two["m0"][..], &two["m1"][..]), (&[0, 1, 2][..], &[][..]), "3 and 4 are still held");
        let two = share(5, &crew(&[&[0, 1, 2], &[]]));
        assert_eq!((&two["m0"][..], &two["m1"][..]), (&[0, 1, 2][..], &[3, 4][..]));
    }

    #[test]
    fn lane_0_stays_where_it_is() {
        for n in 2..5 {
            let mut holds: Vec<&[LaneNo]> = vec![&[]; n];
            holds[n - 1] = &[0, 1];
            assert!(share(2, &crew(&holds))[&format!("m{}", n - 1)].contains(&0));
        }
    }

    #[test]
    fn more_members_than_lanes_stand_by() {
        let shares = share(2, &crew(&[&[1], &[0], &[], &[]]));
        assert_eq!(shares.values().map(Vec::len).collect::<Vec<_>>(), [1, 1, 0, 0]);
    }

    proptest! {
        #[test]
        fn no_lane_twice_none_taken_from_a_holder_and_all_in_the_end(
            lanes in 0u32..20, holds in prop::collection::vec(prop::collection::btree_set(0u32..24, 0..20), 1..6)
        ) {
            let mut members: Vec<(String, Vec<LaneNo>)> =
                holds.into_iter().enumerate().map(|(i, h)| (format!("m{i}"), h.into_iter().collect())).collect();
            for _ in 0..3 {
                let shares = share(lanes, &members);
                let given: Vec<LaneNo> = shares.values().flatten().copied().collect();
                let mut once = given.clone();
                once.sort_unstable();
                once.dedup();
                prop_assert_eq!(once.len(), given.len());
                for (id, share) in &shares {
                    for lane in share {
                        let others = members.iter().filter(|(other, h)| other != id && h.contains(lane)).count();
                        let mine = members.iter().any(|(me, h)| me == id && h.contains(lane));
                        prop_assert!(others == 0 || mine, "{} is held by another", lane);
                    }
                }
                members = shares.into_iter().collect(); // who has too many gives them back
            }
            let mut counts: Vec<usize> = members.iter().map(|(_, h)| h.len()).collect();
            counts.sort_unstable();
            prop_assert_eq!(counts.iter().sum::<usize>(), lanes as usize);
            prop_assert!(counts[counts.len() - 1] - counts[0] <= 1);
        }
    }
}
