//! Join: silent until the whole batch is settled upstream, then all of it.
//!
//! A join reads nothing and writes nothing: its output is a view of its inputs,
//! readable when the gate opens. What is here is the judgement of the gate.

/// A barrier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// Failed items that it bears.
    pub tolerate: Tolerate,
    /// What an intolerable batch means.
    pub if_failed: IfFailed,
}

/// Failed items that a gate bears.
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
    /// Whether there are failures that it does not let pass.
    pub fn can_stay_shut(&self) -> bool {
        !matches!(self.tolerate, Tolerate::Percent(p) if p >= 100.0)
    }

    /// Judges a batch of which `failed` items failed upstream and `arrived` came through.
    ///
    /// ```
    /// use anabranch_flow::patterns::join::{Gate, IfFailed, Tolerate, Verdict};
    /// let gate = Gate { tolerate: Tolerate::Percent(1.0), if_failed: IfFailed::Hold };
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
        let gate = |tolerate| Gate { tolerate, if_failed: IfFailed::Hold };
        assert_eq!(gate(Tolerate::Items(0)).judge(0, 5), Verdict::Open);
        assert_eq!(gate(Tolerate::Items(0)).judge(1, 5), Verdict::Held);
        assert_eq!(gate(Tolerate::Items(1)).judge(1, 0), Verdict::Open);
        assert_eq!(gate(Tolerate::Percent(100.0)).judge(7, 0), Verdict::Open);
        assert_eq!(gate(Tolerate::Percent(0.0)).judge(1, 1_000_000), Verdict::Held);
        let fail = Gate { tolerate: Tolerate::Items(0), if_failed: IfFailed::Fail };
        assert_eq!(fail.judge(1, 0), Verdict::Failed);
    }
}
