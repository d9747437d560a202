//! What people's tools need: streams, outside producers, groups, reports.

use crate::Embedded;
use crate::commit::{self, Row};
use crate::directory;
use crate::index::sql;
use crate::segment::Writer;
use crate::streams::{ext_id, owned, spans};
use anabranch_engine::{
    Admin, Batch, Desk, Dest, Error, FlowId, Group, Item, KeptReport, Offset, Packer, Partition, Result, StreamInfo,
    StreamName, Worker, limits,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;

impl Desk for Embedded {
    fn wait(&self, longest: std::time::Duration) {
        self.bell.wait(longest);
    }

    fn group(&self, name: &str) -> Result<Group> {
        let found = self.groups()?.into_iter().find(|g| g.name == name);
        Ok(found.unwrap_or_else(|| Group { name: name.into(), offsets: BTreeMap::new() }))
    }

    fn set_group(&self, group: &str, offsets: &[(StreamName, Partition, Offset)]) -> Result<()> {
        self.index.write(|tx| {
            let put = "INSERT INTO grp (name, stream, p, next) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET next = excluded.next";
            let mut put = tx.prepare_cached(put).map_err(sql)?;
            for (stream, p, next) in offsets {
                put.execute(params![group, stream.as_str(), p, next]).map_err(sql)?;
            }
            Ok(())
        })
    }

    fn reports(&self, flow: &FlowId) -> Result<Vec<(u64, String)>> {
        self.index.read(|db| {
            let mut find = db.prepare("SELECT run, body FROM report WHERE flow = ? ORDER BY run").map_err(sql)?;
            let rows = find.query_map([flow.as_str()], |r| Ok((r.get(0)?, r.get(1)?)));
            rows.and_then(Iterator::collect).map_err(sql)
        })
    }

    fn report(&self, flow: &FlowId, run: u64) -> Result<Option<String>> {
        self.index.read(|db| {
            let mut find = db.prepare("SELECT body FROM report WHERE flow = ? AND run = ?").map_err(sql)?;
            find.query_row(params![flow.as_str(), run], |r| r.get(0)).optional().map_err(sql)
        })
    }
}

impl Admin for Embedded {
    fn streams(&self) -> Result<Vec<StreamInfo>> {
        self.index.read(|db| {
            let mut find = db.prepare("SELECT name, owner, config, id FROM stream ORDER BY name").map_err(sql)?;
            let rows = find.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)));
            let rows: Vec<(String, Option<String>, String, i64)> = rows.and_then(Iterator::collect).map_err(sql)?;
            rows.into_iter().map(|row| info(db, row)).collect()
        })
    }

    fn delete(&self, stream: &StreamName) -> Result<()> {
        self.index.write(|tx| {
            let id: Option<i64> = tx
                .query_row("SELECT id FROM stream WHERE name = ?", [stream.as_str()], |r| r.get(0))
                .optional()
                .map_err(sql)?;
            let id = id.ok_or_else(|| Error::usage(format!("there is no stream {stream} here")))?;
            let mut find = tx.prepare("SELECT tp FROM part WHERE stream = ?").map_err(sql)?;
            let tps: Vec<i64> = find.query_map([id], |r| r.get(0)).and_then(Iterator::collect).map_err(sql)?;
            for tp in tps {
                tx.execute("DELETE FROM ext WHERE id >= ? AND id < ?", params![ext_id(tp, 0), ext_id(tp + 1, 0)])
                    .map_err(sql)?;
            }
            tx.execute(
                "INSERT INTO gone SELECT ?1, max(next) FROM part WHERE stream = ?2
                 ON CONFLICT DO UPDATE SET next = max(gone.next, excluded.next)",
                params![stream.as_str(), id],
            )
            .map_err(sql)?;
            tx.execute("DELETE FROM part WHERE stream = ?", [id]).map_err(sql)?;
            tx.execute("DELETE FROM stream WHERE id = ?", [id]).map_err(sql)?;
            tx.execute("DELETE FROM grp WHERE stream = ?", [stream.as_str()]).map_err(sql)?;
            Ok(())
        })?;
        crate::trim::trim(self, &[])
    }

    fn append(&self, stream: &StreamName, items: &[(Partition, Item)]) -> Result<()> {
        let batches = batches(stream, items)?;
        let fresh: usize = batches.iter().map(|(_, b)| b.bytes().len()).sum();
        let mut durable = None; // it lives until the rows are committed
        if fresh > limits::INLINE_BYTES {
            let mut writer = Writer::new(&self.dir, self.disk.clone(), self.index.clone());
            let parts: Vec<&[u8]> = batches.iter().map(|(_, b)| b.bytes().as_ref()).collect();
            durable = Some(writer.append(&parts)?);
        }
        let row = |(i, (dest, batch))| match durable.as_ref().and_then(|d| d.landed.get::<usize>(i)) {
            Some(at) => (dest, Row::Written(batch, *at)),
            None => (dest, Row::Inline(batch)),
        };
        let rows: Vec<(&Dest, Row<'_>)> = batches.iter().map(|(d, b)| (d, b)).enumerate().map(row).collect();
        self.index.write(|tx| {
            let owner: Option<Option<String>> = tx
                .query_row("SELECT owner FROM stream WHERE name = ?", [stream.as_str()], |r| r.get(0))
                .optional()
                .map_err(sql)?;
            match owner.flatten() {
                Some(owner) => Err(owned(stream, &owner)),
                None => commit::apply(tx, &rows),
            }
        })?;
        self.bell.ring();
        Ok(())
    }

    fn groups(&self) -> Result<Vec<Group>> {
        self.index.read(|db| {
            let mut find = db.prepare("SELECT name, stream, p, next FROM grp ORDER BY name, stream, p").map_err(sql)?;
            let rows = find.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)));
            let rows: Vec<(String, String, u32, i64)> = rows.and_then(Iterator::collect).map_err(sql)?;
            let mut groups: BTreeMap<String, Group> = BTreeMap::new();
            for (name, stream, p, next) in rows {
                let group = groups.entry(name.clone()).or_insert_with(|| Group { name, offsets: BTreeMap::new() });
                group.offsets.insert((StreamName::new(&stream)?, p), next);
            }
            Ok(groups.into_values().collect())
        })
    }

    fn flows(&self) -> Result<Vec<FlowId>> {
        self.index.read(|db| {
            let mut find = db.prepare("SELECT DISTINCT flow FROM account ORDER BY flow").map_err(sql)?;
            let names: Vec<String> = find.query_map([], |r| r.get(0)).and_then(Iterator::collect).map_err(sql)?;
            names.iter().map(|n| FlowId::new(n)).collect()
        })
    }

    fn workers(&self, flow: &FlowId) -> Result<Vec<Worker>> {
        let name = directory::seated(&directory::seat(&self.dir, flow));
        Ok(name.map(|name| Worker { name, lanes: vec![0] }).into_iter().collect())
    }
}

fn info(db: &Connection, (name, owner, config, id): (String, Option<String>, String, i64)) -> Result<StreamInfo> {
    let name = StreamName::new(&name)?;
    let bytes = "SELECT coalesce(sum(len), 0) FROM ext JOIN part ON part.tp = ext.id >> 40 WHERE part.stream = ?";
    Ok(StreamInfo {
        spans: spans(db, &name)?,
        bytes: db.query_row(bytes, [id], |r| r.get(0)).map(Some).map_err(sql)?,
        owner: owner.map(|o| FlowId::new(&o)).transpose()?,
        config: serde_json::from_str(&config).unwrap_or_default(),
        name,
    })
}

/// Items as batches, a partition at a time, each of at most the target size.
fn batches(stream: &StreamName, items: &[(Partition, Item)]) -> Result<Vec<(Dest, Batch)>> {
    let mut open: BTreeMap<Partition, Packer> = BTreeMap::new();
    let dest = |partition| Dest { stream: stream.clone(), partition };
    for (p, item) in items {
        let size = item.value.as_ref().map_or(0, |v| v.len());
        if size > limits::ITEM_BYTES {
            return Err(Error::usage(format!(
                "an item for {stream} has {size} bytes, at most {} are possible",
                limits::ITEM_BYTES
            )));
        }
        open.entry(*p).or_default().push_item(item);
    }
    Ok(open.into_iter().flat_map(|(p, b)| b.finish().into_iter().map(move |b| (dest(p), b))).collect())
}

/// Keeps the report of a run, and the newest before it.
pub fn keep_report(db: &Connection, flow: &FlowId, KeptReport { run, json }: &KeptReport) -> Result<()> {
    let put = "INSERT OR REPLACE INTO report (flow, run, body) VALUES (?, ?, ?)";
    db.execute(put, params![flow.as_str(), run, json]).map_err(sql)?;
    let oldest = run.saturating_sub(limits::REPORTS_KEPT as u64 - 1);
    db.execute("DELETE FROM report WHERE flow = ? AND run < ?", params![flow.as_str(), oldest]).map_err(sql)?;
    Ok(())
}
