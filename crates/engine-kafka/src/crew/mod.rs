//! Those who work a flow: a consumer group over its ledger, which suggests lanes.
//!
//! The protocol is the classic one of consumer groups, with an assignment of our own: a lane is given to nobody while
//! another member says that it holds it. What comes of it is a hint; claims decide.

pub mod member;

use crate::cluster::groups::{at_coordinator, id};
use crate::cluster::{Cluster, Kind};
use crate::crew::member::Member;
use crate::log::ledger;
use crate::net::rights::{Operation, Resource, Right};
use crate::net::trouble::Trouble;
use anabranch_engine::share::share;
use anabranch_engine::{Crew, Error, FlowId, LaneNo, Result, Worker};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A member that is silent for so long is given up; brokers take no less.
const SESSION_MS: i32 = 6_000;
/// How long the others may take to join again.
const REBALANCE_MS: i32 = 6_000;
const BEAT: Duration = Duration::from_secs(1);
/// After trouble the coordinator is asked again so soon.
const AGAIN: Duration = Duration::from_millis(250);
/// How long leaving may hold up the end of a process.
const LEAVING: Duration = Duration::from_secs(1);

const MEMBER_ID_REQUIRED: i16 = 79;
const REBALANCE_IN_PROGRESS: i16 = 27;
const UNKNOWN_MEMBER_ID: i16 = 25;
const ILLEGAL_GENERATION: i16 = 22;

/// One of the crew.
pub struct InCrew {
    lanes: u32,
    shared: Arc<Shared>,
    thread: std::thread::Thread,
}

/// What the thread that beats, and the one that works, know together.
struct Shared {
    cluster: Arc<Cluster>,
    group: String,
    ledger: String,
    me: Member,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Lanes that this process holds.
    holding: Vec<LaneNo>,
    /// Whether it has held any.
    held: bool,
    /// Nobody was there when it came: it need not wait for a word of the group.
    first: bool,
    advice: Option<Vec<LaneNo>>,
    /// Given by the coordinator.
    member: String,
    failed: Option<Error>,
    over: bool,
}

/// The group of those who work a flow.
pub fn group(flow: &FlowId) -> Result<String> {
    Ok(flow.own("crew")?.to_string())
}

/// Joins the crew of a flow.
pub fn join(cluster: &Arc<Cluster>, flow: &FlowId, lanes: u32) -> Result<InCrew> {
    let group = group(flow)?;
    let me = Member::here();
    let mut others = members(cluster, &group)?;
    let gone: Vec<String> = others.extract_if(.., |(_, m, _)| m.is_gone()).map(|(id, ..)| id).collect();
    if !gone.is_empty() {
        leave(cluster, &group, &gone)?; // they were killed: nobody need wait until their sessions end
    }
    let state = State { first: others.is_empty(), ..State::default() };
    let (cluster, ledger) = (cluster.clone(), ledger::name(flow)?.to_string());
    let shared = Arc::new(Shared { cluster, group, ledger, me, state: Mutex::new(state) });
    let member = shared.clone();
    let thread = std::thread::Builder::new().name("crew".into()).spawn(move || member.stay());
    let thread = thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))?;
    Ok(InCrew { lanes, shared, thread: thread.thread().clone() })
}

impl Crew for InCrew {
    fn lanes(&self) -> u32 {
        self.lanes
    }

    fn mine(&mut self, holding: &[LaneNo]) -> Result<Vec<LaneNo>> {
        let mut state = self.shared.state();
        if let Some(e) = state.failed.take() {
            return Err(e);
        }
        if state.holding != holding {
            state.holding = holding.to_vec();
            state.held |= !holding.is_empty();
            self.thread.unpark();
        }
        Ok(match &state.advice {
            Some(advice) => advice.clone(),
            // another one took them who came at the same moment: now the group decides
            None if state.held && holding.is_empty() => vec![],
            None if state.first => (0..self.lanes).collect(),
            None => vec![],
        })
    }
}

impl Drop for InCrew {
    fn drop(&mut self) {
        let member = {
            let mut state = self.shared.state();
            state.over = true;
            state.member.clone()
        };
        self.thread.unpark();
        if member.is_empty() {
            return;
        }
        let (done, left) = channel();
        let shared = self.shared.clone();
        let leave = move || {
            let _ = leave(&shared.cluster, &shared.group, &[member]);
            let _ = done.send(());
        };
        if std::thread::Builder::new().name("leave".into()).spawn(leave).is_ok() {
            let _ = left.recv_timeout(LEAVING);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stays in the group until it is over.
    fn stay(&self) {
        while !self.state().over {
            match self.once() {
                Ok(()) => {}
                Err(Trouble::Fatal(e)) => {
                    self.state().failed = Some(e);
                    return;
                }
                Err(Trouble::Again(_)) => {
                    self.cluster.forget_coordinator(Kind::Group, &self.group);
                    std::thread::park_timeout(AGAIN);
                }
            }
        }
    }

    /// Joins, hears the advice, and beats until the lanes are to be shared again.
    fn once(&self) -> Result<(), Trouble> {
        let broker = self.cluster.coordinator(Kind::Group, &self.group)?;
        let (owned, member) = {
            let state = self.state();
            (state.holding.clone(), state.member.clone())
        };
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str("anabranch"))
            .with_metadata(self.me.subscription(&self.ledger, &owned));
        let call = JoinGroupRequest::default()
            .with_group_id(id(&self.group))
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(REBALANCE_MS)
            .with_member_id(StrBytes::from_string(member))
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(vec![protocol]);
        let joined = self.cluster.over(&broker, |c| c.call(&call))?;
        if joined.error_code == MEMBER_ID_REQUIRED {
            self.state().member = joined.member_id.to_string();
            return Ok(());
        }
        if self.is_out(joined.error_code) {
            return Ok(());
        }
        self.check(joined.error_code, "joining")?;
        let (member, generation) = (joined.member_id.clone(), joined.generation_id);
        self.state().member = member.to_string();
        let mut given = vec![];
        if joined.leader == joined.member_id {
            let all = joined.members.iter().map(|m| (m.member_id.to_string(), member::owned(&m.metadata)));
            let lanes = crate::cluster::streams::partitions(&self.cluster, &self.stream()?).map_err(Trouble::Again)?;
            let shares = share(lanes.unwrap_or(0), &all.collect::<Vec<_>>());
            given.extend(shares.into_iter().map(|(to, lanes)| {
                SyncGroupRequestAssignment::default()
                    .with_member_id(StrBytes::from_string(to))
                    .with_assignment(member::assignment(&self.ledger, &lanes))
            }));
        }
        let call = SyncGroupRequest::default()
            .with_group_id(id(&self.group))
            .with_generation_id(generation)
            .with_member_id(member.clone())
            .with_assignments(given);
        let synced = self.cluster.over(&broker, |c| c.call(&call))?;
        if self.is_out(synced.error_code) {
            return Ok(());
        }
        self.check(synced.error_code, "sharing lanes in")?;
        let advice = member::assigned(&synced.assignment);
        self.state().advice = Some(advice.clone());
        self.beat(&broker, member, generation, &owned, &advice)
    }

    fn check(&self, code: i16, what: &str) -> Result<(), Trouble> {
        check(&self.cluster, code, what, &self.group)
    }

    fn stream(&self) -> Result<anabranch_engine::StreamName, Trouble> {
        anabranch_engine::StreamName::new(&self.ledger).map_err(Trouble::Fatal)
    }

    /// Whether an answer says to join again; who was given up begins again, with nothing.
    fn is_out(&self, code: i16) -> bool {
        let given_up = matches!(code, UNKNOWN_MEMBER_ID | ILLEGAL_GENERATION);
        if given_up {
            let mut state = self.state();
            state.member.clear();
            state.advice = Some(vec![]);
            state.holding.clear();
        }
        given_up || code == REBALANCE_IN_PROGRESS
    }

    fn beat(
        &self,
        broker: &str,
        member: StrBytes,
        generation: i32,
        owned: &[LaneNo],
        advice: &[LaneNo],
    ) -> Result<(), Trouble> {
        let call = HeartbeatRequest::default()
            .with_group_id(id(&self.group))
            .with_generation_id(generation)
            .with_member_id(member);
        loop {
            let next = Instant::now() + BEAT;
            while Instant::now() < next {
                std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
                let state = self.state();
                // lanes that this process has given back are for the others now
                let given_back = |lane: &LaneNo| !advice.contains(lane) && !state.holding.contains(lane);
                if state.over || owned.iter().any(given_back) {
                    return Ok(());
                }
            }
            let answer = self.cluster.over(broker, |c| c.call(&call))?;
            if self.is_out(answer.error_code) {
                return Ok(());
            }
            self.check(answer.error_code, "staying in")?;
        }
    }
}

fn check(cluster: &Cluster, code: i16, what: &str, group: &str) -> Result<(), Trouble> {
    cluster.check(code, &format!("{what} the group {group}"), &[Right(Operation::Read, Resource::Group(group))])
}

/// The members of a group: their ids, what they say of themselves, and the lanes that they were given.
fn members(cluster: &Cluster, group: &str) -> Result<Vec<(String, Member, Vec<LaneNo>)>> {
    let call = DescribeGroupsRequest::default().with_groups(vec![id(group)]);
    let found = at_coordinator(cluster, group, || {
        let broker = cluster.coordinator(Kind::Group, group)?;
        let answer = cluster.over(&broker, |c| c.call(&call))?;
        let found = answer.groups.into_iter().next().ok_or_else(|| Trouble::again("nothing was answered"))?;
        check(cluster, found.error_code, "looking at", group)?;
        Ok(found)
    })?;
    let member = |m: &kafka_protocol::messages::describe_groups_response::DescribedGroupMember| {
        (m.member_id.to_string(), Member::of(&m.member_metadata), member::assigned(&m.member_assignment))
    };
    Ok(found.members.iter().map(member).collect())
}

/// Takes members out of a group.
fn leave(cluster: &Cluster, group: &str, members: &[String]) -> Result<()> {
    let member = |m: &String| MemberIdentity::default().with_member_id(StrBytes::from_string(m.clone()));
    let call = LeaveGroupRequest::default().with_group_id(id(group)).with_members(members.iter().map(member).collect());
    at_coordinator(cluster, group, || {
        let broker = cluster.coordinator(Kind::Group, group)?;
        let answer = cluster.over(&broker, |c| c.call(&call))?;
        check(cluster, answer.error_code, "leaving", group)
    })
}

/// Who works a flow now.
pub fn workers(cluster: &Cluster, flow: &FlowId) -> Result<Vec<Worker>> {
    let members = members(cluster, &group(flow)?)?;
    let mut workers: Vec<Worker> =
        members.into_iter().map(|(_, member, lanes)| Worker { name: member.name(), lanes }).collect();
    workers.sort_by(|a, b| a.lanes.first().cmp(&b.lanes.first()).then(a.name.cmp(&b.name)));
    Ok(workers)
}
