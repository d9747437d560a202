//! What people's tools need of a log in memory.

use super::MemoryLog;
use super::store::owned;
use anabranch_engine::{
    Admin, Desk, Error, FlowId, Group, Item, Offset, Packer, Partition, Result, StreamInfo, StreamName, Worker,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

impl Desk for MemoryLog {
    fn wait(&self, longest: Duration) {
        self.process.sleep(longest);
    }

    fn group(&self, name: &str) -> Result<Group> {
        let offsets = self.store().groups.get(name).cloned().unwrap_or_default();
        Ok(Group { name: name.into(), offsets })
    }

    fn set_group(&self, group: &str, offsets: &[(StreamName, Partition, Offset)]) -> Result<()> {
        self.process.call(format_args!("group {group} {offsets:?}"))?;
        let mut store = self.store();
        let of_group = store.groups.entry(group.into()).or_default();
        of_group.extend(offsets.iter().map(|(stream, p, next)| ((stream.clone(), *p), *next)));
        Ok(())
    }

    fn reports(&self, flow: &FlowId) -> Result<Vec<(u64, String)>> {
        self.process.call(format_args!("reports {flow}"))?;
        let (store, now) = (self.store(), self.process.now());
        let seen = store.reports.get(flow).into_iter().flatten().filter(|(_, (since, _))| *since <= now);
        Ok(seen.map(|(run, (_, json))| (*run, json.clone())).collect())
    }

    fn report(&self, flow: &FlowId, run: u64) -> Result<Option<String>> {
        Ok(self.reports(flow)?.into_iter().find(|(of, _)| *of == run).map(|(_, json)| json))
    }
}

impl Admin for MemoryLog {
    fn streams(&self) -> Result<Vec<StreamInfo>> {
        let (store, now) = (self.store(), self.process.now());
        let bytes = |s: &super::store::Stream| {
            s.parts.iter().flat_map(|p| &p.batches).map(|b| b.batch.bytes().len() as u64).sum()
        };
        let info = store.streams.iter().map(|(name, stream)| StreamInfo {
            name: name.clone(),
            spans: stream.parts.iter().map(|part| part.start..part.seen_to(now)).collect(),
            bytes: Some(bytes(stream)),
            owner: stream.owner.clone(),
            config: stream.config.clone(),
        });
        Ok(info.collect())
    }

    fn delete(&self, stream: &StreamName) -> Result<()> {
        self.process.call(format_args!("delete {stream}"))?;
        let mut store = self.store();
        let found = store.streams.remove(stream);
        let found = found.ok_or_else(|| Error::usage(format!("there is no stream {stream} here")))?;
        let end = found.parts.iter().map(|part| part.next).max().unwrap_or(0);
        store.gone.insert(stream.clone(), end);
        for offsets in store.groups.values_mut() {
            offsets.retain(|(of, _), _| of != stream);
        }
        Ok(())
    }

    fn append(&self, stream: &StreamName, items: &[(Partition, Item)]) -> Result<()> {
        self.process.call(format_args!("append {stream} {}", items.len()))?;
        let seen = self.process.now();
        let mut packers: BTreeMap<Partition, Packer> = BTreeMap::new();
        let mut store = self.store();
        if let Some(owner) = &store.stream(stream)?.owner {
            return Err(owned(stream, owner));
        }
        for (p, item) in items {
            store.part(stream, *p)?;
            packers.entry(*p).or_default().push_item(item);
        }
        for (p, packer) in packers {
            for batch in packer.finish() {
                store.part_mut(stream, p)?.append(batch, seen);
            }
        }
        Ok(())
    }

    fn groups(&self) -> Result<Vec<Group>> {
        let store = self.store();
        Ok(store.groups.iter().map(|(name, offsets)| Group { name: name.clone(), offsets: offsets.clone() }).collect())
    }

    fn flows(&self) -> Result<Vec<FlowId>> {
        let flows: BTreeSet<FlowId> = self.store().lanes.keys().map(|(flow, _)| flow.clone()).collect();
        Ok(flows.into_iter().collect())
    }

    fn workers(&self, flow: &FlowId) -> Result<Vec<Worker>> {
        let store = self.store();
        let members = store.crews.get(flow).into_iter().flat_map(|crew| &crew.all);
        Ok(members.map(|(no, heard)| Worker { name: format!("process {no}"), lanes: heard.holds.clone() }).collect())
    }
}
