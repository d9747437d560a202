//! Join: silent until the whole batch is settled upstream, then all of it.
//!
//! A join reads nothing and writes nothing: its output is a view of its inputs,
//! readable when the gate opens. What is here is the judgement of the gate.

use super::{Kind, Verb};
use crate::diagnostic::Diagnostic;
use crate::read::Name;
use crate::read::keys::{Faults, Keys};
use crate::read::ports::Ports;
use crate::spec::{Is, Key, Spec};

/// The verb.
pub const VERB: Verb = Verb {
    spec: Spec {
        name: "join",
        doc: "A barrier: lets nothing through until all of the batch has come, and then all of it.",
        many: true,
        keys: &[
            TOLERATE.usual("0"),
            IF_FAILED,
            OPEN,
            Key::new("done", Is::Stream, "Gets one item for each batch when the gate opens.", "done: loaded"),
            Key::new("to", Is::Stream, "The output.", "to: complete").depends("the name of the step"),
            Key::new("by", Is::Later, "A join by key.", "by: item.user"),
            Key::new("if-incomplete", Is::Later, "What becomes of a key that an input lacks.", "if-incomplete: emit"),
        ],
        example: "all-blurred: { join: 'blurred-*', if-failed: hold }",
    },
    routes: true,
    fans_out: false,
    ports,
    read: |keys, _, faults| {
        if let Some(span) = keys.key_span("by") {
            keys.node("by");
            let what = "a join by key is not in this version; without `by` it is a barrier";
            faults.push(Diagnostic::error("not-in-this-version", span, what));
        }
        let gate = Gate::read(keys, Tolerate::Items(0), faults);
        let by_hand = keys.word("open", faults) == Some("by-hand");
        Some(Kind::Barrier(Gate { by_hand, ..gate }))
    },
};

/// Failed items that a gate accepts.
pub const TOLERATE: Key = Key::new(
    "tolerate",
    Is::Tolerance,
    "How many failed items the gate accepts: a number, or a share of the batch.",
    "tolerate: 1%",
);

/// What a batch with too many failed items means.
pub const IF_FAILED: Key = Key::new(
    "if-failed",
    Is::Word(&["hold", "fail"]),
    "What becomes of a batch with more failed items: it is held until they are retried or skipped, or the run fails.",
    "if-failed: fail",
)
.usual("hold");

/// Who opens the gate.
const OPEN: Key = Key::new(
    "open",
    Is::Word(&["when-complete", "by-hand"]),
    "Whether the gate opens by itself, or waits for somebody who has looked at the batch and says `anabranch open`.",
    "open: by-hand",
)
.usual("when-complete");

fn ports(keys: &mut Keys<'_>, name: &Name, ports: &mut Ports, faults: &mut Faults) {
    Ports::only(keys, name, ports, faults);
    if let Some((done, span)) = keys.text("done", faults) {
        ports.done = Some(ports.outputs.len());
        ports.outputs.push(((done.to_string(), span), true));
    }
}

/// A barrier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// Failed items that it accepts.
    pub tolerate: Tolerate,
    /// What an intolerable batch means.
    pub if_failed: IfFailed,
    /// A batch that it accepts waits for somebody to open it all the same.
    pub by_hand: bool,
}

/// Failed items that a gate accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerate {
    /// So many.
    Items(u64),
    /// So many in a hundred of the failed and the arrived.
    Percent(f64),
}

/// What becomes of a batch with too many failed items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfFailed {
    /// It waits.
    Hold,
    /// The run has failed.
    Fail,
}

/// What a gate decides when its input has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It opens.
    Open,
    /// It stays shut.
    Held,
    /// The run has failed.
    Failed,
}

impl Gate {
    /// Reads `tolerate` and `if-failed`.
    pub fn read(keys: &mut Keys<'_>, usual: Tolerate, faults: &mut Faults) -> Gate {
        let mut tolerate = usual;
        if let Some((text, span)) = keys.text("tolerate", faults) {
            let percent = text
                .strip_suffix('%')
                .map(|t| t.trim().parse::<f64>().ok().filter(|p| (0.0..=100.0).contains(p)).map(Tolerate::Percent));
            match percent.unwrap_or_else(|| text.parse().ok().map(Tolerate::Items)) {
                Some(t) => tolerate = t,
                None => {
                    let what = "`tolerate` is a number of items, or a share like 1%";
                    faults.push(Diagnostic::error("tolerate", span, what));
                }
            }
        }
        let if_failed = match keys.word("if-failed", faults) {
            Some("fail") => IfFailed::Fail,
            _ => IfFailed::Hold,
        };
        Gate { tolerate, if_failed, by_hand: false }
    }

    /// Whether there are batches that it does not let pass at once.
    pub fn can_stay_shut(&self) -> bool {
        self.by_hand || !matches!(self.tolerate, Tolerate::Percent(p) if p >= 100.0)
    }

    /// Judges a batch of which `failed` items failed upstream and `arrived` came through.
    ///
    /// ```
    /// use anabranch_flow::patterns::barrier::{Gate, IfFailed, Tolerate, Verdict};
    /// let gate = Gate { tolerate: Tolerate::Percent(1.0), if_failed: IfFailed::Hold, by_hand: false };
    /// assert_eq!(gate.judge(1, 99), Verdict::Open);
    /// assert_eq!(gate.judge(2, 98), Verdict::Held);
    /// assert_eq!(gate.judge(0, 0), Verdict::Open); // an empty batch passes
    /// ```
    pub fn judge(&self, failed: u64, arrived: u64) -> Verdict {
        let too_many = match self.tolerate {
            Tolerate::Items(n) => failed > n,
            Tolerate::Percent(p) => 100.0 * failed as f64 > p * (failed + arrived) as f64,
        };
        match (too_many, self.if_failed) {
            (false, _) => Verdict::Open,
            (true, IfFailed::Hold) => Verdict::Held,
            (true, IfFailed::Fail) => Verdict::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_tolerance() {
        let gate = |tolerate| Gate { tolerate, if_failed: IfFailed::Hold, by_hand: false };
        assert_eq!(gate(Tolerate::Items(0)).judge(0, 5), Verdict::Open);
        assert_eq!(gate(Tolerate::Items(0)).judge(1, 5), Verdict::Held);
        assert_eq!(gate(Tolerate::Items(1)).judge(1, 0), Verdict::Open);
        assert_eq!(gate(Tolerate::Percent(100.0)).judge(7, 0), Verdict::Open);
        assert_eq!(gate(Tolerate::Percent(0.0)).judge(1, 1_000_000), Verdict::Held);
        let fail = Gate { tolerate: Tolerate::Items(0), if_failed: IfFailed::Fail, by_hand: false };
        assert_eq!(fail.judge(1, 0), Verdict::Failed);
    }
}
