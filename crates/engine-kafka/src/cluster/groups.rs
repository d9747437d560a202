//! Consumer groups, for people's tools: listed, and set where nobody is in them.

use crate::cluster::{Cluster, Kind, topic};
use crate::net::rights::{Operation, Resource, Right};
use crate::net::trouble::{Trouble, check};
use anabranch_engine::{Group, Offset, Partition, Result, StreamName};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};

/// A name as the protocol has it.
pub fn id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_string()))
}

/// All groups that have offsets.
pub fn all(cluster: &Cluster) -> Result<Vec<Group>> {
    let names = cluster.patiently(|| {
        let mut names = BTreeSet::new();
        for broker in cluster.brokers()? {
            let answer = cluster.over(&broker, |c| c.call(&ListGroupsRequest::default()));
            let answer = answer.inspect_err(|_| drop(cluster.look(&[])))?; // one that died is not asked for ever
            check(answer.error_code, "listing the groups")?;
            names.extend(answer.groups.into_iter().map(|g| g.group_id.to_string()));
        }
        Ok(names)
    })?;
    names.into_iter().map(|name| offsets(cluster, name)).collect()
}

/// The offsets of one group; of one that is not there, none.
pub fn offsets(cluster: &Cluster, name: String) -> Result<Group> {
    let wanted = OffsetFetchRequestGroup::default().with_group_id(id(&name)).with_topics(None);
    let call = OffsetFetchRequest::default().with_groups(vec![wanted]).with_require_stable(true);
    let answer = at_coordinator(cluster, &name, || {
        let broker = cluster.coordinator(Kind::Group, &name)?;
        let answer = cluster.over(&broker, |c| c.call(&call))?;
        let group = answer.groups.into_iter().next().ok_or_else(|| Trouble::again("nothing was answered"))?;
        let needs = [Right(Operation::Read, Resource::Group(&name))];
        let what = format!("the offsets of the group {name}");
        cluster.check(group.error_code, &what, &needs)?;
        // an offset that a transaction is about to change comes when that has ended (88); none is taken for missing
        let codes = group.topics.iter().flat_map(|t| t.partitions.iter().map(|p| p.error_code));
        codes.into_iter().try_for_each(|code| cluster.check(code, &what, &needs))?;
        Ok(group)
    })?;
    let mut offsets = BTreeMap::new();
    for of in &answer.topics {
        for p in of.partitions.iter().filter(|p| p.committed_offset >= 0) {
            offsets.insert((StreamName::new(of.name.as_str())?, p.partition_index as Partition), p.committed_offset);
        }
    }
    Ok(Group { name, offsets })
}

/// Sets offsets of a group that nobody is in.
pub fn set(cluster: &Cluster, group: &str, to: &[(StreamName, Partition, Offset)]) -> Result<()> {
    let mut topics: BTreeMap<&StreamName, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (stream, p, offset) in to {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(*p as i32)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(StrBytes::from_static_str("")));
        topics.entry(stream).or_default().push(partition);
    }
    let topics =
        topics.into_iter().map(|(s, p)| OffsetCommitRequestTopic::default().with_name(topic(s)).with_partitions(p));
    let call = OffsetCommitRequest::default()
        .with_group_id(id(group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics.collect());
    at_coordinator(cluster, group, || {
        let broker = cluster.coordinator(Kind::Group, group)?;
        let answer = cluster.over(&broker, |c| c.call(&call))?;
        let what = format!("setting the group {group}");
        let mut codes = answer.topics.iter().flat_map(|t| t.partitions.iter().map(|p| (p.error_code, t.name.as_str())));
        codes.find(|(code, _)| *code != 0).map_or(Ok(()), |(code, topic)| {
            let needs = [Resource::Group(group), Resource::Topic(topic)].map(|on| Right(Operation::Read, on));
            cluster.check(code, &what, &needs)
        })
    })
}

/// Does something at the coordinator of a group, which is looked up again where it moved.
pub fn at_coordinator<T>(cluster: &Cluster, group: &str, mut act: impl FnMut() -> Result<T, Trouble>) -> Result<T> {
    cluster.patiently(|| act().inspect_err(|_| cluster.forget_coordinator(Kind::Group, group)))
}
