//! Whether a cluster fits a flow: asked, with nothing written.
//!
//! Brokers look at rights before anything else. So they are asked to do each thing to a partition that no topic can
//! have: who may not is told so, and who may is told that there is no such partition.

use crate::cluster::streams;
use crate::cluster::{Cluster, topic};
use crate::crew;
use crate::log::ledger;
use crate::log::notes;
use crate::log::transaction;
use crate::net::calls;
use crate::net::config::Config;
use crate::net::rights::{Operation, Resource, refused};
use crate::net::trouble::{Trouble, check};
use anabranch_engine::{Error, FlowId, Result, StreamName, StreamSpec};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, DeleteRecordsRequest, FetchRequest, GroupId, OffsetCommitRequest, ProduceRequest,
    ProducerId,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};

/// No topic has so many partitions.
const NOWHERE: i32 = i32::MAX;
const NO_SUCH_TOPIC: i16 = 3;
const EXISTS: i16 = 36;

/// What a flow needs of a cluster.
pub struct Needs {
    /// The flow.
    pub flow: FlowId,
    /// Its streams that are topics.
    pub streams: Vec<Need>,
    /// Its groups.
    pub groups: Vec<String>,
}

/// A topic that a flow needs.
#[derive(Debug, Clone)]
pub struct Need {
    /// What it should be like.
    pub spec: StreamSpec,
    /// What the flow does with it.
    pub role: Role,
}

/// What a flow does with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It reads what others write there.
    Outside,
    /// It makes it, writes it and reads it.
    Written,
    /// The same, and cuts it when it is read.
    Cut,
}

/// How a cluster fits a flow.
#[derive(Debug, Default)]
pub struct Fit {
    /// What has to be mended before the flow can run.
    pub wrong: Vec<Error>,
    /// What is good to know.
    pub notes: Vec<String>,
    /// As whom we asked.
    pub user: String,
    /// Brokers of the cluster.
    pub brokers: usize,
    /// Topics that were looked at.
    pub topics: usize,
}

/// Rights that are missing, for each thing that one grants.
type Missing<'a> = BTreeMap<Resource<'a>, BTreeSet<Operation>>;

fn lacks<'a>(missing: &mut Missing<'a>, operation: Operation, on: Resource<'a>) {
    missing.entry(on.pattern().0).or_default().insert(operation);
}

/// Looks at everything that the flow needs.
pub fn fit(cluster: &Cluster, config: &Config, needs: &Needs) -> Result<Fit> {
    let all = all(needs)?;
    let mut fit = Fit { user: config.user().to_string(), topics: all.len(), ..Fit::default() };
    versions(cluster, &mut fit)?;
    let mut missing = Missing::new();
    let there = topics(cluster, &all, &mut fit)?;
    for need in all.iter().filter(|n| n.role != Role::Outside && !there.contains(n.spec.name.as_str())) {
        creation(cluster, need, &mut fit, &mut missing)?;
    }
    let name = |n: &'_ Need| n.spec.name.clone();
    let written: Vec<StreamName> = all.iter().filter(|n| n.role != Role::Outside).map(name).collect();
    let cut: Vec<StreamName> = all.iter().filter(|n| n.role == Role::Cut).map(name).collect();
    let every: Vec<StreamName> = all.iter().map(name).collect();
    let asked = [
        (Operation::Read, cluster.patiently(|| read(cluster, &every))?),
        (Operation::Write, cluster.patiently(|| write(cluster, &written))?),
        (Operation::Delete, cluster.patiently(|| delete(cluster, &cut))?),
    ];
    for (operation, refused) in &asked {
        let refused = all.iter().filter(|n| refused.contains(n.spec.name.as_str()));
        refused.for_each(|n| lacks(&mut missing, *operation, Resource::Topic(n.spec.name.as_str())));
    }
    let id = format!("anabranch.{}.0", needs.flow);
    let no_topic = needs.flow.own("nowhere")?;
    if !cluster.patiently(|| may_commit(cluster, &id, &no_topic))? {
        lacks(&mut missing, Operation::Write, Resource::Transaction(&id));
    }
    let crew = crew::group(&needs.flow)?;
    for group in needs.groups.iter().chain([&crew]) {
        if !cluster.patiently(|| may_read_group(cluster, group, &no_topic))? {
            lacks(&mut missing, Operation::Read, Resource::Group(group));
        }
    }
    fit.wrong.extend(missing.iter().map(|(on, operations)| refused(config, *on, operations)));
    Ok(fit)
}

/// The topics of the flow, and those that are kept here for it.
fn all(needs: &Needs) -> Result<Vec<Need>> {
    let mut all = needs.streams.clone();
    let of_its_own = [(ledger::name(&needs.flow)?, Role::Cut), (needs.flow.own("runs")?, Role::Cut)];
    for (name, role) in of_its_own.into_iter().chain([(notes::owners_stream()?, Role::Written)]) {
        let spec = StreamSpec { partitions: None, ..StreamSpec::new(name, 1) };
        all.push(Need { spec, role });
    }
    Ok(all)
}

fn versions(cluster: &Cluster, fit: &mut Fit) -> Result<()> {
    let answer = cluster.patiently(|| transaction::versions(cluster))?;
    for (key, version, name) in calls::ALL {
        let found = answer.api_keys.iter().find(|k| k.api_key == *key);
        if !found.is_some_and(|k| (k.min_version..=k.max_version).contains(version)) {
            let name = name.trim_end_matches("Request");
            let text = format!("the brokers do not speak {name} in version {version}");
            fit.wrong.push(Error::usage(text).help("Kafka 3.3 or newer is needed"));
        }
    }
    if !transaction::renews(&answer) {
        fit.notes.push(
            "transaction.version is below 2: the brokers cannot tell a late request of a finished commit  \
             (kafka-features upgrade --feature transaction.version=2)"
                .into(),
        );
    }
    Ok(())
}

/// Looks at the topics as they are; gives those that are there for sure.
fn topics(cluster: &Cluster, all: &[Need], fit: &mut Fit) -> Result<BTreeSet<String>> {
    let names: Vec<&StreamName> = all.iter().map(|n| &n.spec.name).collect();
    let answer = cluster.patiently(|| cluster.look(&names))?;
    fit.brokers = answer.brokers.len();
    let mut there = BTreeSet::new();
    for need in all {
        let name = &need.spec.name;
        let is_it = |n: &kafka_protocol::messages::TopicName| n.as_str() == name.as_str();
        let found = answer.topics.iter().find(|t| t.name.as_ref().is_some_and(is_it));
        let refused = Resource::Topic(name.as_str()).code();
        match found.map(|t| (t.error_code, t.partitions.len() as u32)) {
            Some((0, partitions)) => {
                there.insert(name.to_string());
                fit.wrong.extend(streams::fits(&need.spec, partitions).err());
            }
            None | Some((NO_SUCH_TOPIC, _)) if need.role == Role::Outside => {
                let partitions = need.spec.partitions.map(|n| format!(" --partitions {n}")).unwrap_or_default();
                let error = Error::usage(format!("there is no topic {name}, which the flow reads"));
                fit.wrong.push(error.help(format!("make it:  anabranch streams create {name}{partitions}")));
            }
            None | Some((NO_SUCH_TOPIC, _)) => {}
            Some((code, _)) if code == refused => {} // what is refused is told with what else is
            Some((code, _)) => fit.wrong.extend(check(code, &format!("the topic {name}")).err().map(|t| t.error())),
        }
    }
    Ok(there)
}

/// Whether a topic could be made as it is wanted.
fn creation<'a>(cluster: &Cluster, need: &'a Need, fit: &mut Fit, missing: &mut Missing<'a>) -> Result<()> {
    let on = Resource::Topic(need.spec.name.as_str());
    let (code, said) = cluster.patiently(|| streams::try_create(cluster, &need.spec, true))?;
    if code == on.code() {
        lacks(missing, Operation::Create, on);
    } else if code != EXISTS {
        let what = format!("making the topic {}{said}", need.spec.name);
        fit.wrong.extend(check(code, &what).err().map(|t| t.error()));
    }
    Ok(())
}

/// Topics that may not be read.
fn read(cluster: &Cluster, names: &[StreamName]) -> Outcome {
    let nowhere = FetchPartition::default()
        .with_partition(NOWHERE)
        .with_current_leader_epoch(-1)
        .with_last_fetched_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(1);
    let of = |n| FetchTopic::default().with_topic(topic(n)).with_partitions(vec![nowhere.clone()]);
    let call = FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_bytes(1)
        .with_session_epoch(-1)
        .with_topics(names.iter().map(of).collect());
    let answer = cluster.anyone(&call)?;
    let codes = answer.responses.iter().flat_map(|t| t.partitions.iter().map(|p| (t.topic.as_str(), p.error_code)));
    Ok(refused_in(codes))
}

/// Topics that may not be written.
fn write(cluster: &Cluster, names: &[StreamName]) -> Outcome {
    let nowhere = PartitionProduceData::default().with_index(NOWHERE).with_records(Some(bytes::Bytes::new()));
    let of = |n| TopicProduceData::default().with_name(topic(n)).with_partition_data(vec![nowhere.clone()]);
    let topics = names.iter().map(of).collect();
    let call = ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(topics);
    let answer = cluster.anyone(&call)?;
    let all = answer.responses.iter();
    Ok(refused_in(all.flat_map(|t| t.partition_responses.iter().map(|p| (t.name.as_str(), p.error_code)))))
}

/// Topics that may not be cut.
fn delete(cluster: &Cluster, names: &[StreamName]) -> Outcome {
    let nowhere = DeleteRecordsPartition::default().with_partition_index(NOWHERE).with_offset(0);
    let of = |n| DeleteRecordsTopic::default().with_name(topic(n)).with_partitions(vec![nowhere.clone()]);
    let call = DeleteRecordsRequest::default().with_topics(names.iter().map(of).collect()).with_timeout_ms(1_000);
    let answer = cluster.anyone(&call)?;
    let codes = answer.topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.name.as_str(), p.error_code)));
    Ok(refused_in(codes))
}

type Outcome = Result<BTreeSet<String>, Trouble>;

fn refused_in<'a>(codes: impl Iterator<Item = (&'a str, i16)>) -> BTreeSet<String> {
    let refused = Resource::Topic("").code();
    codes.filter(|(_, code)| *code == refused).map(|(name, _)| name.to_string()).collect()
}

/// Whether the transactional id may be used. It is not claimed: that would shut out a run that is at work.
fn may_commit(cluster: &Cluster, id: &str, no_topic: &StreamName) -> Result<bool, Trouble> {
    let nowhere = AddPartitionsToTxnTopic::default().with_name(topic(no_topic)).with_partitions(vec![NOWHERE]);
    let call = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(transaction::id(id))
        .with_v3_and_below_producer_id(ProducerId(-1))
        .with_v3_and_below_producer_epoch(-1)
        .with_v3_and_below_topics(vec![nowhere]);
    let answer = cluster.anyone(&call)?;
    let mut all = answer.results_by_topic_v3_and_below.iter().flat_map(|t| &t.results_by_partition);
    Ok(!all.any(|p| p.partition_error_code == Resource::Transaction(id).code()))
}

/// Whether a group may be read, and so its offsets set.
fn may_read_group(cluster: &Cluster, group: &str, no_topic: &StreamName) -> Result<bool, Trouble> {
    let nowhere = OffsetCommitRequestPartition::default().with_partition_index(NOWHERE);
    let call = OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_string())))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![
            OffsetCommitRequestTopic::default().with_name(topic(no_topic)).with_partitions(vec![nowhere]),
        ]);
    let answer = cluster.anyone(&call)?;
    let mut all = answer.topics.iter().flat_map(|t| &t.partitions);
    Ok(!all.any(|p| p.error_code == Resource::Group(group).code()))
}
