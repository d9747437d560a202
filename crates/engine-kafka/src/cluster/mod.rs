//! The brokers: who leads which partition, who coordinates what, and connections to them.

pub mod groups;
pub mod offsets;
pub mod patience;
pub mod streams;

use crate::net::calls::Call;
use crate::net::config::Config;
use crate::net::connect;
use crate::net::rights::{self, Operation, Resource, Right};
use crate::net::trouble::Trouble;
use crate::net::wire::Connection;
use anabranch_engine::{Error, Result, StreamName, limits};
use kafka_protocol::messages::{
    FindCoordinatorRequest, MetadataRequest, MetadataResponse, TopicName, metadata_request::MetadataRequestTopic,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is coordinated by one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A consumer group.
    Group = 0,
    /// A transactional id.
    Transaction = 1,
}

/// A cluster of brokers.
pub struct Cluster {
    config: Arc<Config>,
    known: Mutex<Known>,
    idle: Mutex<HashMap<String, Vec<(Connection, Instant)>>>,
}

#[derive(Default)]
struct Known {
    brokers: BTreeMap<i32, String>,
    controller: i32,
    topics: HashMap<String, Vec<i32>>,
    coordinators: HashMap<(Kind, String), String>,
    /// The largest batch that each topic takes.
    limits: HashMap<String, usize>,
    /// When trouble was told last.
    told: Option<Instant>,
}

/// Trouble is told at most so often.
const TELL_EVERY: Duration = Duration::from_secs(15);

/// A connection that waited longer is not used again: brokers, and what is between, close those that are silent.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// A name as the protocol has it.
pub fn topic(name: &StreamName) -> TopicName {
    TopicName(StrBytes::from_string(name.to_string()))
}

/// `host:port`, of an address with colons `[host]:port`.
fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl Cluster {
    /// A cluster that is known by some of its brokers.
    pub fn new(config: Config) -> Cluster {
        Cluster { config: Arc::new(config), known: Mutex::default(), idle: Mutex::default() }
    }

    /// How its brokers are spoken to.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer's code as a result: what was refused is named with the right it takes.
    pub fn check(&self, code: i16, what: &str, needs: &[Right]) -> Result<(), Trouble> {
        rights::check(&self.config, code, what, needs)
    }

    /// Does something over a connection to that broker. A connection over which something went wrong is not used again.
    pub fn over<T>(&self, broker: &str, act: impl FnOnce(&mut Connection) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().get_mut(broker).and_then(Vec::pop);
        let mut connection = match waiting {
            Some((connection, since)) if connection.holds() && since.elapsed() < IDLE_FOR => connection,
            _ => connect::open(broker, &self.config)?,
        };
        let done = act(&mut connection).inspect_err(|e| {
            if matches!(e, Trouble::Again(_)) {
                idle().remove(broker); // what broke this one may have broken the others
            }
        })?;
        let mut idle = idle();
        let idle = idle.entry(broker.to_string()).or_default();
        if idle.len() < limits::IDLE_CONNECTIONS {
            idle.push((connection, Instant::now()));
        }
        Ok(done)
    }

    /// Asks whichever broker answers.
    pub fn anyone<C: Call>(&self, call: &C) -> Result<C::Answer, Trouble> {
        let mut brokers: Vec<String> = self.known().brokers.values().cloned().collect();
        brokers.extend(self.config.brokers.iter().cloned());
        let mut last = Trouble::again("no broker is named");
        for broker in brokers {
            match self.over(&broker, |c| c.call(call)) {
                Err(Trouble::Again(e)) => last = Trouble::Again(e),
                other => return other,
            }
        }
        let all = self.config.brokers.join(", ");
        let last = last.error();
        let help = last.help.unwrap_or_else(|| "is Kafka running there?".into());
        Err(Trouble::Again(Error::machine(format!("no broker answers at {all}: {}", last.text)).help(help)))
    }

    /// All brokers.
    pub fn brokers(&self) -> Result<Vec<String>, Trouble> {
        if self.known().brokers.is_empty() {
            self.look(&[])?;
        }
        Ok(self.known().brokers.values().cloned().collect())
    }

    /// The broker that changes topics.
    pub fn controller(&self) -> Result<String, Trouble> {
        self.look(&[])?;
        let known = self.known();
        let any = known.brokers.values().next();
        known
            .brokers
            .get(&known.controller)
            .or(any)
            .cloned()
            .ok_or_else(|| Trouble::again("the cluster has no controller now"))
    }

    /// All topics, or some: refreshes what is known of them.
    pub fn look(&self, topics: &[&StreamName]) -> Result<MetadataResponse, Trouble> {
        let wanted = |name: &&StreamName| MetadataRequestTopic::default().with_name(Some(topic(name)));
        let call = MetadataRequest::default()
            .with_topics(Some(topics.iter().map(wanted).collect()))
            .with_allow_auto_topic_creation(false);
        self.learn(call)
    }

    /// All topics.
    pub fn look_at_all(&self) -> Result<MetadataResponse, Trouble> {
        self.learn(MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false))
    }

    fn learn(&self, call: MetadataRequest) -> Result<MetadataResponse, Trouble> {
        let answer = self.anyone(&call)?;
        let mut known = self.known();
        known.brokers = answer.brokers.iter().map(|b| (b.node_id.0, address(&b.host, b.port))).collect();
        known.controller = answer.controller_id.0;
        for topic in &answer.topics {
            let Some(name) = &topic.name else { continue };
            if topic.error_code == 0 {
                let mut leaders = vec![-1; topic.partitions.len()];
                for p in &topic.partitions {
                    if let Some(leader) = leaders.get_mut(p.partition_index as usize) {
                        *leader = p.leader_id.0;
                    }
                }
                known.topics.insert(name.to_string(), leaders);
            } else {
                known.topics.remove(&name.to_string());
            }
        }
        Ok(answer)
    }

    /// Partitions of a topic; fails if there is none.
    pub fn partitions(&self, stream: &StreamName) -> Result<u32, Trouble> {
        let what = format!("the stream {stream}");
        let answer = self.look(&[stream])?;
        let topic =
            answer.topics.first().ok_or_else(|| Trouble::again(format!("{what}: the answer does not mention it")))?;
        if topic.error_code == 3 {
            return Err(Trouble::Fatal(
                Error::usage(format!("there is no stream {stream} here"))
                    .help(format!("make it:  anabranch streams create {stream}")),
            ));
        }
        self.check(topic.error_code, &what, &[Right(Operation::Describe, Resource::Topic(stream.as_str()))])?;
        Ok(topic.partitions.len() as u32)
    }

    /// The broker that leads a partition.
    pub fn leader(&self, stream: &StreamName, partition: u32) -> Result<String, Trouble> {
        for look in [false, true] {
            if look {
                self.look(&[stream])?;
            }
            let known = self.known();
            let leader = known.topics.get(stream.as_str()).and_then(|l| l.get(partition as usize));
            if let Some(broker) = leader.and_then(|l| known.brokers.get(l)) {
                return Ok(broker.clone());
            }
        }
        Err(Trouble::again(format!("{stream} partition {partition} has no leader now")))
    }

    /// Does something at the leader of a partition; the leader is looked up again where it moved.
    pub fn at_leader<T>(
        &self,
        stream: &StreamName,
        partition: u32,
        mut act: impl FnMut(&mut Connection) -> Result<T, Trouble>,
    ) -> Result<T> {
        self.patiently(|| {
            let leader = self.leader(stream, partition)?;
            self.over(&leader, &mut act).inspect_err(|_| self.forget(stream))
        })
    }

    /// What is known of a topic may be out of date.
    pub fn forget(&self, stream: &StreamName) {
        self.known().topics.remove(stream.as_str());
    }

    /// Tells people of trouble that lasts.
    pub fn tell(&self, text: &str) {
        let mut known = self.known();
        if known.told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            known.told = Some(Instant::now());
            drop(known);
            (self.config.tell)(text);
        }
    }

    /// The largest batch that a topic takes, if it was asked for.
    pub fn limit(&self, stream: &StreamName) -> Option<usize> {
        self.known().limits.get(stream.as_str()).copied()
    }

    /// The largest batch that a topic takes.
    pub fn know_limit(&self, stream: &StreamName, bytes: usize) {
        self.known().limits.insert(stream.to_string(), bytes);
    }

    /// The broker that coordinates a group or a transactional id.
    pub fn coordinator(&self, kind: Kind, key: &str) -> Result<String, Trouble> {
        if let Some(broker) = self.known().coordinators.get(&(kind, key.to_string())) {
            return Ok(broker.clone());
        }
        let call = FindCoordinatorRequest::default()
            .with_key_type(kind as i8)
            .with_coordinator_keys(vec![StrBytes::from_string(key.to_string())]);
        let answer = self.anyone(&call)?;
        let found = answer.coordinators.first().ok_or_else(|| Trouble::again(format!("{key} has no coordinator")))?;
        let needs = match kind {
            Kind::Group => Right(Operation::Read, Resource::Group(key)),
            Kind::Transaction => Right(Operation::Write, Resource::Transaction(key)),
        };
        self.check(found.error_code, &format!("the coordinator of {key}"), &[needs])?;
        let broker = address(&found.host, found.port);
        self.known().coordinators.insert((kind, key.to_string()), broker.clone());
        Ok(broker)
    }

    /// The coordinator may have moved.
    pub fn forget_coordinator(&self, kind: Kind, key: &str) {
        self.known().coordinators.remove(&(kind, key.to_string()));
    }
}
