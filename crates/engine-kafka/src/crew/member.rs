//! What a member of a crew says of itself: where it runs, and which lanes it holds.

use anabranch_engine::LaneNo;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::consumer_protocol_assignment::{self, ConsumerProtocolAssignment};
use kafka_protocol::messages::consumer_protocol_subscription::{self, ConsumerProtocolSubscription};
use kafka_protocol::protocol::{Encodable, StrBytes};
use serde::{Deserialize, Serialize};
use std::fs;

/// The version of the consumers' own formats: from 1 on they name what a member holds.
const VERSION: i16 = 1;

/// A process that works a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    host: String,
    pid: u32,
    /// Tells hosts with one name, and their boots and containers, apart.
    place: String,
    /// Tells processes with one number apart.
    started: String,
}

impl Member {
    /// This process.
    pub fn here() -> Member {
        let pid = std::process::id();
        let host = read("/proc/sys/kernel/hostname");
        Member { host: host.unwrap_or_else(|| "here".into()), pid, place: place(), started: started(pid) }
    }

    /// What a subscription tells of its member.
    pub fn of(subscription: &Bytes) -> Member {
        let data = Said(subscription).subscription().map(|(data, _)| data);
        data.and_then(|data| serde_json::from_slice(data).ok()).unwrap_or_default()
    }

    /// Whether it is certain that the process has ended: it ran on this host, and is not there.
    pub fn is_gone(&self) -> bool {
        !self.place.is_empty() && self.place == place() && self.started != started(self.pid)
    }

    /// Names it to people.
    pub fn name(&self) -> String {
        if self.pid == 0 { "a process".into() } else { format!("process {} on {}", self.pid, self.host) }
    }

    /// A subscription to the ledger by this member, which holds these lanes.
    pub fn subscription(&self, ledger: &str, owned: &[LaneNo]) -> Bytes {
        let owned = consumer_protocol_subscription::TopicPartition::default()
            .with_topic(TopicName(StrBytes::from_string(ledger.to_string())))
            .with_partitions(owned.iter().map(|l| *l as i32).collect());
        let of = ConsumerProtocolSubscription::default()
            .with_topics(vec![StrBytes::from_string(ledger.to_string())])
            .with_user_data(serde_json::to_vec(self).ok().map(Bytes::from))
            .with_owned_partitions(vec![owned]);
        encode(&of)
    }
}

/// The lanes that a member says it holds.
pub fn owned(subscription: &Bytes) -> Vec<LaneNo> {
    Said(subscription).subscription().map(|(_, lanes)| lanes).unwrap_or_default()
}

/// These lanes, as they are given to a member.
pub fn assignment(ledger: &str, lanes: &[LaneNo]) -> Bytes {
    let given = consumer_protocol_assignment::TopicPartition::default()
        .with_topic(TopicName(StrBytes::from_string(ledger.to_string())))
        .with_partitions(lanes.iter().map(|l| *l as i32).collect());
    encode(&ConsumerProtocolAssignment::default().with_assigned_partitions(vec![given]))
}

/// The lanes that were given.
pub fn assigned(assignment: &Bytes) -> Vec<LaneNo> {
    Said(assignment).assignment().unwrap_or_default()
}

fn encode(of: &impl Encodable) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(VERSION);
    // they are short, and of a version that is known: nothing can fail
    let _ = of.encode(&mut out, VERSION);
    out.freeze()
}

/// What a member said, which may be anything: a length in it is believed only as far as there are bytes.
struct Said<'b>(&'b [u8]);

impl<'b> Said<'b> {
    /// What a subscription carries for its own kind, and the lanes that it holds.
    fn subscription(mut self) -> Option<(&'b [u8], Vec<LaneNo>)> {
        let version = self.take(2)?;
        for _ in 0..self.number()? {
            self.text()?;
        }
        let data = match self.number()? {
            -1 => &[],
            n => self.take(usize::try_from(n).ok()?)?,
        };
        let lanes = if version == [0, 0] { vec![] } else { self.lanes()? };
        Some((data, lanes))
    }

    fn assignment(mut self) -> Option<Vec<LaneNo>> {
        self.take(2)?;
        self.lanes()
    }

    /// Partitions of the ledger are lanes.
    fn lanes(&mut self) -> Option<Vec<LaneNo>> {
        let mut lanes = vec![];
        for _ in 0..self.number()? {
            self.text()?;
            for _ in 0..self.number()? {
                lanes.extend(LaneNo::try_from(self.number()?).ok());
            }
        }
        Some(lanes)
    }

    fn text(&mut self) -> Option<&'b [u8]> {
        let length = self.take(2)?.try_into().ok().map(i16::from_be_bytes)?;
        self.take(usize::try_from(length).ok()?)
    }

    fn number(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    fn take(&mut self, n: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_string())
}

/// The boot of this host and the space of its process numbers; nothing where there is no /proc.
fn place() -> String {
    let boot = read("/proc/sys/kernel/random/boot_id");
    let space = fs::read_link("/proc/self/ns/pid").ok().map(|s| s.display().to_string());
    boot.zip(space).map(|(boot, space)| format!("{boot} {space}")).unwrap_or_default()
}

/// When a process was started, in ticks since the boot; nothing if it is not there, or only waits to be buried.
fn started(pid: u32) -> String {
    let stat = read(&format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    match (fields.first(), fields.get(19)) {
        (Some(&state), Some(started)) if state != "Z" && state != "X" => started.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_says_is_understood() {
        let me = Member::here();
        let said = me.subscription("anabranch.f.ledger", &[0, 3]);
        assert_eq!((Member::of(&said), owned(&said)), (me, vec![0, 3]));
        assert_eq!(assigned(&assignment("anabranch.f.ledger", &[1, 2])), [1, 2]);
    }

    #[test]
    fn only_a_process_of_this_host_is_known_to_be_gone() {
        let me = Member::here();
        assert!(!me.is_gone());
        assert!(Member { started: "1".into(), ..me.clone() }.is_gone());
        assert!(!Member { place: "elsewhere".into(), started: "1".into(), ..me }.is_gone());
        assert!(!Member::default().is_gone());
    }

    #[test]
    fn what_is_no_message_says_nothing() {
        for bytes in [&b""[..], b"\0", b"\0\x01", b"\xff\xff\xff\xff\xff", b"\0\x01\x7f\xff\xff\xff"] {
            let bytes = Bytes::copy_from_slice(bytes);
            assert_eq!((owned(&bytes), assigned(&bytes), Member::of(&bytes)), (vec![], vec![], Member::default()));
        }
    }
}
