//! Anabranch on Apache Kafka, over the protocol itself.
//!
//! A commit of a lane is a transaction: the batches, still packed, and the account of the lane in the flow's
//! ledger. A new owner of the lane shuts out the old one and reads the account; there is no other recovery.

mod cluster;
mod crew;
mod fit;
mod log;
mod net;

use anabranch_engine::{
    Account, Admin, At, Chunk, Crew, Cursor, Desk, Dest, Engine, FlowId, Group, Item, Lane, LaneNo, Limit, Offset,
    Pace, Packer, Partition, Result, Shape, StreamInfo, StreamName, StreamSpec, Worker,
};
use cluster::Cluster;
use cluster::offsets::Which;
use cluster::{groups, offsets, streams};
pub use fit::{Fit, Need, Needs, Role};
use log::ahead::Ahead;
use log::ledger::Watch;
use log::{lane, ledger, notes, pack};
pub use net::config::Config;
use net::trouble;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A Kafka cluster.
pub struct Kafka {
    cluster: Arc<Cluster>,
    ahead: Ahead,
    watches: Mutex<BTreeMap<String, Arc<Mutex<Watch>>>>,
}

impl Kafka {
    /// A cluster that is known by some of its brokers: `host:port`, several with commas between them.
    ///
    /// # Errors
    ///
    /// A broker is not named as `host:port`, or none answers.
    pub fn open(bootstrap: &str) -> Result<Kafka> {
        Kafka::connect(Config::plain(bootstrap))
    }

    /// A cluster whose brokers are spoken to as these settings say.
    ///
    /// # Errors
    ///
    /// A broker is not named as `host:port`, none answers, or the log-in is refused.
    pub fn connect(config: Config) -> Result<Kafka> {
        config.well_named()?;
        let cluster = Arc::new(Cluster::new(config));
        cluster.look(&[]).map_err(trouble::Trouble::error)?;
        Ok(Kafka { ahead: Ahead::new(&cluster)?, cluster, watches: Mutex::default() })
    }

    /// Whether the cluster fits a flow, and whether this user may do what the flow does. Nothing is written.
    ///
    /// # Errors
    ///
    /// The cluster cannot be asked.
    pub fn fit(&self, needs: &Needs) -> Result<Fit> {
        fit::fit(&self.cluster, self.cluster.config(), needs)
    }
}

/// The largest batch that a flow's own streams take: an item, and what is said of it.
const OWN_BATCH_BYTES: usize = anabranch_engine::limits::ITEM_BYTES + (1 << 20);

impl Engine for Kafka {
    fn ensure(&self, owner: Option<&FlowId>, want: &[StreamSpec]) -> Result<Vec<Shape>> {
        let mut out = vec![];
        let of_its_own = owner.map(|flow| format!("anabranch.{flow}.")).unwrap_or_default();
        for spec in want {
            let mut spec = spec.clone();
            if owner.is_some() && spec.name.as_str().starts_with(&of_its_own) {
                // what a flow keeps for itself takes whatever an item may be, whatever is usual here
                spec.config.entry("max.message.bytes".into()).or_insert_with(|| OWN_BATCH_BYTES.to_string());
            }
            out.push(streams::ensure(&self.cluster, &spec)?);
        }
        if let Some(flow) = owner {
            let names = want.iter().map(|spec| &spec.name).filter(|n| !n.as_str().starts_with(&of_its_own));
            notes::own(&self.cluster, &names.collect::<Vec<_>>(), flow)?;
        }
        Ok(out)
    }

    fn partitions(&self, stream: &StreamName) -> Result<Option<u32>> {
        streams::partitions(&self.cluster, stream)
    }

    fn span(&self, stream: &StreamName) -> Result<Vec<Range<Offset>>> {
        let partitions = self.cluster.patiently(|| self.cluster.partitions(stream))?;
        let first = offsets::all(&self.cluster, stream, partitions, Which::First)?;
        let end = offsets::all(&self.cluster, stream, partitions, Which::Committed)?;
        Ok(first.into_iter().zip(end).map(|(first, end)| first..end).collect())
    }

    fn read(&self, at: &At, end: Offset, max: Limit) -> Result<Chunk> {
        self.ahead.read(&self.cluster, at, end, max)
    }

    fn accounts(&self, flow: &FlowId, seen: &mut Cursor, wait: Duration) -> Result<Vec<Account>> {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = watches.entry(flow.to_string()).or_default().clone();
        drop(watches);
        let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.accounts(&self.cluster, flow, seen, wait)
    }

    fn crew(&self, flow: &FlowId, want: u32) -> Result<Box<dyn Crew>> {
        let ledger = ledger::name(flow)?;
        if streams::partitions(&self.cluster, &ledger)?.is_none() {
            ledger::ensure(&self.cluster, flow, want)?;
        }
        let lanes = streams::partitions(&self.cluster, &ledger)?.unwrap_or(want);
        Ok(Box::new(crew::join(&self.cluster, flow, lanes)?))
    }

    fn claim(&self, flow: &FlowId, lane: LaneNo) -> Result<Box<dyn Lane>> {
        if streams::partitions(&self.cluster, &ledger::name(flow)?)?.is_none() {
            ledger::ensure(&self.cluster, flow, lane + 1)?;
        }
        Ok(Box::new(lane::claim(&self.cluster, flow, lane)?))
    }

    /// From 4 MiB on a transaction costs little, from 16 MiB nothing that can be measured.
    fn largest(&self, stream: &StreamName) -> Result<usize> {
        pack::limit(&self.cluster, stream)
    }

    fn counts_by_offset(&self) -> bool {
        false // the ends of transactions have offsets, too
    }

    fn lanes_can_be_taken(&self) -> bool {
        true
    }

    fn pace(&self) -> Pace {
        Pace { bytes: 16 << 20, every: Duration::from_millis(500) }
    }

    fn trim(&self, keep_from: &[At]) -> Result<()> {
        keep_from.iter().try_for_each(|at| streams::cut(&self.cluster, at).map(|_| ()))
    }
}

impl Desk for Kafka {
    fn wait(&self, longest: Duration) {
        std::thread::park_timeout(longest); // brokers tell nobody: who waits looks again
    }

    fn group(&self, name: &str) -> Result<Group> {
        groups::offsets(&self.cluster, name.to_string())
    }

    fn set_group(&self, group: &str, offsets: &[(StreamName, Partition, Offset)]) -> Result<()> {
        groups::set(&self.cluster, group, offsets)
    }

    fn reports(&self, flow: &FlowId) -> Result<Vec<(u64, String)>> {
        notes::reports(&self.cluster, flow)
    }

    fn report(&self, flow: &FlowId, run: u64) -> Result<Option<String>> {
        notes::report_of(&self.cluster, flow, run)
    }
}

impl Admin for Kafka {
    fn streams(&self) -> Result<Vec<StreamInfo>> {
        let all = self.cluster.patiently(|| self.cluster.look_at_all())?;
        let own = all.topics.iter().filter(|t| !t.is_internal && t.error_code == 0);
        let mut names = own.filter_map(|t| StreamName::new(t.name.as_ref()?.as_str()).ok()).collect::<Vec<_>>();
        names.sort();
        let owners = notes::owners(&self.cluster)?;
        names
            .into_iter()
            .map(|name| {
                Ok(StreamInfo {
                    spans: self.span(&name)?,
                    bytes: None,
                    owner: owners.get(name.as_str()).cloned(),
                    config: streams::config(&self.cluster, &name)?,
                    name,
                })
            })
            .collect()
    }

    fn delete(&self, stream: &StreamName) -> Result<()> {
        streams::delete(&self.cluster, stream)?;
        notes::disown(&self.cluster, stream)
    }

    fn append(&self, stream: &StreamName, items: &[(Partition, Item)]) -> Result<()> {
        if let Some(owner) = notes::owners(&self.cluster)?.get(stream.as_str()) {
            return Err(notes::owned(stream, owner));
        }
        self.cluster.patiently(|| self.cluster.partitions(stream))?;
        let mut open: BTreeMap<Partition, Packer> = BTreeMap::new();
        for (p, item) in items {
            open.entry(*p).or_default().push_item(item);
        }
        let dest = |partition| Dest { stream: stream.clone(), partition };
        let puts = open.into_iter().flat_map(|(p, b)| b.finish().into_iter().map(move |b| (dest(p), b))).collect();
        notes::append(&self.cluster, puts)
    }

    fn groups(&self) -> Result<Vec<Group>> {
        groups::all(&self.cluster)
    }

    fn flows(&self) -> Result<Vec<FlowId>> {
        let all = self.cluster.patiently(|| self.cluster.look_at_all())?;
        let names = all.topics.iter().filter_map(|t| t.name.as_ref().map(|n| n.as_str().to_string()));
        let flows = names.filter_map(|n| Some(n.strip_prefix("anabranch.")?.strip_suffix(".ledger")?.to_string()));
        flows.map(|f| FlowId::new(&f)).collect()
    }

    fn workers(&self, flow: &FlowId) -> Result<Vec<Worker>> {
        crew::workers(&self.cluster, flow)
    }
}
