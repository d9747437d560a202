//! Topics: made, listed, deleted, cut.

use crate::cluster::offsets::{self, Which};
use crate::cluster::{Cluster, topic};
use crate::net::rights::{Operation, Resource, Right};
use crate::net::trouble::{Trouble, check};
use anabranch_engine::{At, Error, Offset, Result, Shape, StreamName, StreamSpec};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

/// How long a broker may take to make or delete a topic.
const CHANGE_MS: i32 = 10_000;
const EXISTS: i16 = 36;

fn may(operation: Operation, stream: &StreamName) -> Right<'_> {
    Right(operation, Resource::Topic(stream.as_str()))
}

/// Makes a topic, or verifies that it has this many partitions.
pub fn ensure(cluster: &Cluster, want: &StreamSpec) -> Result<Shape> {
    if let Some((partitions, id)) = find(cluster, &want.name)? {
        fits(want, partitions)?;
        return Ok(Shape { partitions, id, created: false, note: None });
    }
    let created = cluster.patiently(|| create(cluster, want))?;
    let (partitions, id) = cluster.patiently(|| ready(cluster, &want.name))?;
    fits(want, partitions)?;
    // a broker can lead a partition before it knows so itself, and a commit does not wait for that
    offsets::all(cluster, &want.name, partitions, Which::Latest)?;
    Ok(Shape { partitions, id, created, note: None })
}

/// Verifies that a topic has as many partitions as are wanted.
pub fn fits(want: &StreamSpec, partitions: u32) -> Result<()> {
    match want.partitions {
        Some(n) if n != partitions => {
            Err(Error::usage(format!("the stream {} has {partitions} partitions, not {n}", want.name))
                .help(format!("write  partitions: {partitions}")))
        }
        _ => Ok(()),
    }
}

/// Partitions of a topic; `None` if there is none.
pub fn partitions(cluster: &Cluster, name: &StreamName) -> Result<Option<u32>> {
    find(cluster, name).map(|found| found.map(|(partitions, _)| partitions))
}

/// Partitions and id of a topic; `None` if there is none.
fn find(cluster: &Cluster, name: &StreamName) -> Result<Option<(u32, String)>> {
    cluster.patiently(|| {
        let answer = cluster.look(&[name])?;
        let topic =
            answer.topics.first().ok_or_else(|| Trouble::again(format!("{name}: the answer does not mention it")))?;
        match topic.error_code {
            3 => Ok(None),
            code => {
                cluster.check(code, &format!("the stream {name}"), &[may(Operation::Describe, name)])?;
                Ok(Some((topic.partitions.len() as u32, topic.topic_id.to_string())))
            }
        }
    })
}

fn create(cluster: &Cluster, want: &StreamSpec) -> Result<bool, Trouble> {
    let (code, said) = try_create(cluster, want, false)?;
    if code == EXISTS {
        return Ok(false);
    }
    let what = format!("making the stream {}{said}", want.name);
    cluster.check(code, &what, &[may(Operation::Create, &want.name)]).map(|()| true)
}

/// Makes a topic, or only asks whether it could be made; gives the broker's code and what it says to it.
pub fn try_create(cluster: &Cluster, want: &StreamSpec, only_ask: bool) -> Result<(i16, String), Trouble> {
    let config = |(k, v): (&String, &String)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(k.clone()))
            .with_value(Some(StrBytes::from_string(v.clone())))
    };
    let new = CreatableTopic::default()
        .with_name(topic(&want.name))
        .with_num_partitions(want.partitions.map_or(1, |n| n as i32))
        .with_replication_factor(want.replication_factor.map_or(-1, |n| n as i16))
        .with_configs(want.config.iter().map(config).collect());
    let call =
        CreateTopicsRequest::default().with_topics(vec![new]).with_timeout_ms(CHANGE_MS).with_validate_only(only_ask);
    let controller = cluster.controller()?;
    let answer = cluster.over(&controller, |c| c.call(&call))?;
    let topic = answer.topics.first().ok_or_else(|| Trouble::again("nothing was answered"))?;
    let said = topic.error_message.as_ref().map(|m| format!(" ({})", m.as_str())).unwrap_or_default();
    Ok((topic.error_code, said))
}

/// A topic just made is led a moment later.
fn ready(cluster: &Cluster, name: &StreamName) -> Result<(u32, String), Trouble> {
    let answer = cluster.look(&[name])?;
    let topic =
        answer.topics.first().ok_or_else(|| Trouble::again(format!("{name}: the answer does not mention it")))?;
    check(topic.error_code, &format!("the stream {name}"))?;
    if topic.partitions.is_empty() || topic.partitions.iter().any(|p| p.leader_id.0 < 0) {
        return Err(Trouble::again(format!("{name} has no leader yet")));
    }
    Ok((topic.partitions.len() as u32, topic.topic_id.to_string()))
}

/// Deletes a topic.
pub fn delete(cluster: &Cluster, name: &StreamName) -> Result<()> {
    cluster.patiently(|| {
        cluster.partitions(name)?;
        let call = DeleteTopicsRequest::default().with_topic_names(vec![topic(name)]).with_timeout_ms(CHANGE_MS);
        let controller = cluster.controller()?;
        let answer = cluster.over(&controller, |c| c.call(&call))?;
        let code = answer.responses.first().map_or(0, |r| r.error_code);
        cluster.check(code, &format!("deleting the stream {name}"), &[may(Operation::Delete, name)])
    })?;
    // the brokers forget it one after the other
    cluster.patiently(|| match cluster.look(&[name])?.topics.first().map(|t| t.error_code) {
        Some(3) | None => Ok(()),
        _ => Err(Trouble::again(format!("{name} is still there"))),
    })
}

/// Cuts a partition: what lies before the offset goes.
pub fn cut(cluster: &Cluster, at: &At) -> Result<Offset> {
    let partition = DeleteRecordsPartition::default().with_partition_index(at.partition as i32).with_offset(at.offset);
    let of = DeleteRecordsTopic::default().with_name(topic(&at.stream)).with_partitions(vec![partition]);
    let call = DeleteRecordsRequest::default().with_topics(vec![of]).with_timeout_ms(CHANGE_MS);
    cluster.at_leader(&at.stream, at.partition, |c| {
        let answer = c.call(&call)?;
        let done = answer.topics.first().and_then(|t| t.partitions.first());
        let done = done.ok_or_else(|| Trouble::again("nothing was answered"))?;
        let what = format!("cutting {} partition {} at {}", at.stream, at.partition, at.offset);
        c.check(done.error_code, &what, &[may(Operation::Delete, &at.stream)])?;
        Ok(done.low_watermark)
    })
}

/// The settings of a topic that differ from the broker's.
pub fn config(cluster: &Cluster, name: &StreamName) -> Result<BTreeMap<String, String>> {
    const OF_TOPIC: i8 = 1; // set for this topic, not inherited
    let own = settings(cluster, name, None)?.into_iter().filter(|c| c.config_source == OF_TOPIC);
    Ok(own.map(|c| (c.name.to_string(), c.value.map(|v| v.to_string()).unwrap_or_default())).collect())
}

/// One setting of a topic, its own or the broker's.
pub fn setting(cluster: &Cluster, name: &StreamName, of: &'static str) -> Result<Option<String>> {
    let found = settings(cluster, name, Some(vec![StrBytes::from_static_str(of)]))?;
    Ok(found.into_iter().find(|c| c.name.as_str() == of).and_then(|c| c.value).map(|v| v.to_string()))
}

fn settings(
    cluster: &Cluster,
    name: &StreamName,
    wanted: Option<Vec<StrBytes>>,
) -> Result<Vec<DescribeConfigsResourceResult>> {
    const TOPIC: i8 = 2;
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(StrBytes::from_string(name.to_string()))
        .with_configuration_keys(wanted);
    let call = DescribeConfigsRequest::default().with_resources(vec![resource]);
    cluster.patiently(|| {
        let answer = cluster.anyone(&call)?;
        let found = answer.results.into_iter().next().ok_or_else(|| Trouble::again("nothing was answered"))?;
        let what = format!("the settings of {name}");
        cluster.check(found.error_code, &what, &[may(Operation::DescribeConfigs, name)])?;
        Ok(found.configs)
    })
}
