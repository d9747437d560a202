//! One transactional id at its coordinator: claim, add partitions, end.
//!
//! Where the brokers' `transaction.version` is at least 2, EndTxn 5 gives a new epoch for each
//! transaction (KIP-890), so that a late request of a finished one is refused.

use crate::cluster::patience::Patience;
use crate::cluster::{Cluster, Kind};
use crate::log::produce::Producer;
use crate::net::rights::{Operation, Resource, Right};
use crate::net::trouble::{Trouble, check};
use anabranch_engine::{Dest, Error};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, ApiVersionsRequest, ApiVersionsResponse, EndTxnRequest, InitProducerIdRequest,
    InitProducerIdResponse, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// After this the coordinator aborts a transaction whose owner is silent.
const TIMEOUT_MS: i32 = 15_000;
/// The answer for what was not looked at.
const NOT_ATTEMPTED: i16 = 55;

/// A transactional id as the protocol has it.
pub fn id(text: &str) -> TransactionalId {
    TransactionalId(StrBytes::from_string(text.to_string()))
}

/// Takes over a transactional id: aborts what its last owner left open and shuts him out.
///
/// It is tried for as long as the trouble is one that passes.
pub fn claim(cluster: &Cluster, transaction: &str) -> Result<Producer, Error> {
    let mut patience = Patience::new(Duration::from_millis(2));
    loop {
        let outcome = cluster
            .coordinator(Kind::Transaction, transaction)
            .and_then(|broker| cluster.over(&broker, |c| c.call(&init(Some(transaction)))))
            .and_then(|answer| given(cluster, Some(transaction), answer));
        match outcome {
            Ok(producer) => return Ok(producer),
            Err(Trouble::Fatal(e)) => return Err(e),
            Err(Trouble::Again(e)) => {
                cluster.forget_coordinator(Kind::Transaction, transaction);
                cluster.told(&patience, &e);
                patience.pause(Duration::from_millis(50));
            }
        }
    }
}

/// A producer id without a transaction, from whichever broker answers.
pub fn plain(cluster: &Cluster) -> Result<Producer, Trouble> {
    given(cluster, None, cluster.anyone(&init(None))?)
}

fn init(transaction: Option<&str>) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(transaction.map(id))
        .with_transaction_timeout_ms(TIMEOUT_MS)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}

fn given(cluster: &Cluster, transaction: Option<&str>, answer: InitProducerIdResponse) -> Result<Producer, Trouble> {
    let what = format!("taking {}", transaction.unwrap_or("a producer id"));
    let needs = match transaction {
        Some(id) => Right(Operation::Write, Resource::Transaction(id)),
        None => Right(Operation::IdempotentWrite, Resource::Cluster),
    };
    cluster.check(answer.error_code, &what, &[needs])?;
    let (id, epoch) = (answer.producer_id.0, answer.producer_epoch);
    Ok(Producer { transaction: transaction.map(String::from), id, epoch, sequences: BTreeMap::new() })
}

/// Adds all partitions to the open transaction.
pub fn add(cluster: &Cluster, by: &Producer, to: &[Dest]) -> Result<(), Trouble> {
    let transaction = by.transaction.as_deref().unwrap_or_default();
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    to.iter().for_each(|d| topics.entry(d.stream.as_str()).or_default().push(d.partition as i32));
    let topics = topics.into_iter().map(|(name, partitions)| {
        AddPartitionsToTxnTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_string())))
            .with_partitions(partitions)
    });
    let call = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(id(transaction))
        .with_v3_and_below_producer_id(ProducerId(by.id))
        .with_v3_and_below_producer_epoch(by.epoch)
        .with_v3_and_below_topics(topics.collect());
    let broker = cluster.coordinator(Kind::Transaction, transaction)?;
    let mut patience = Patience::new(Duration::from_micros(500));
    loop {
        let answer = cluster.over(&broker, |c| c.call(&call))?;
        let results = answer.results_by_topic_v3_and_below.iter();
        let codes =
            results.flat_map(|t| t.results_by_partition.iter().map(|p| (p.partition_error_code, t.name.as_str())));
        // where one is refused, nothing is tried for the others
        let refused = codes.filter(|(code, _)| *code != 0).min_by_key(|(code, _)| *code == NOT_ATTEMPTED);
        match refused {
            None => return Ok(()),
            // the markers of the last transaction are still being written
            Some((51, _)) => {
                let e = Error::machine("the transaction before is still being ended");
                if patience.is_over(&e) {
                    return Err(Trouble::Again(e));
                }
                cluster.told(&patience, &e);
                patience.pause(Duration::from_millis(10));
            }
            Some((code, topic)) => {
                let needs = [Resource::Topic(topic), Resource::Transaction(transaction)];
                let needs = needs.map(|on| Right(Operation::Write, on));
                return cluster.check(code, "adding partitions to a transaction", &needs);
            }
        }
    }
}

/// Commits the open transaction. Anything but success leaves open whether it was.
pub fn commit(cluster: &Cluster, by: &mut Producer, bumps: bool) -> Result<(), Trouble> {
    let transaction = by.transaction.clone().unwrap_or_default();
    let call = EndTxnRequest::default()
        .with_transactional_id(id(&transaction))
        .with_producer_id(ProducerId(by.id))
        .with_producer_epoch(by.epoch)
        .with_committed(true);
    let broker = cluster.coordinator(Kind::Transaction, &transaction)?;
    let answer = cluster.over(&broker, |c| c.call_in(&call, if bumps { 5 } else { 3 }))?;
    check(answer.error_code, "committing a transaction")?;
    if bumps {
        by.id = answer.producer_id.0;
        by.epoch = answer.producer_epoch;
        by.sequences.clear();
    }
    Ok(())
}

/// Whether the cluster gives a new epoch for each transaction.
pub fn bumps(cluster: &Cluster) -> Result<bool, Trouble> {
    versions(cluster).map(|answer| renews(&answer))
}

/// The same, of what brokers said they can do.
pub fn renews(answer: &ApiVersionsResponse) -> bool {
    let version = answer.finalized_features.iter().find(|f| f.name.as_str() == "transaction.version");
    version.is_some_and(|v| v.max_version_level >= 2)
}

/// What the brokers can do.
pub fn versions(cluster: &Cluster) -> Result<ApiVersionsResponse, Trouble> {
    let name = StrBytes::from_static_str("anabranch");
    let call = ApiVersionsRequest::default()
        .with_client_software_name(name)
        .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
    let answer = cluster.anyone(&call)?;
    check(answer.error_code, "asking what the brokers can do")?;
    Ok(answer)
}
