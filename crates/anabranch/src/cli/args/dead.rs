//! What can be typed about dead letters.

use super::{FlowArg, Variables};
use clap::{Args as Arguments, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Dead {
    /// List dead letters: those for which something can still be done, or all
    #[command(
        after_help = "Examples:\n  anabranch dead list\n  anabranch dead list shop.yaml --step loaded --error timeout --group"
    )]
    List {
        #[command(flatten)]
        flow: FlowArg,
        #[command(flatten)]
        like: Like,
        /// Also those that are settled, or of batches that are gone
        #[arg(long)]
        all: bool,
        /// Count them by step and error
        #[arg(long)]
        group: bool,
        /// Only the newest N [default: 100; with --json all]
        #[arg(long, value_name = "N")]
        max: Option<usize>,
    },
    /// Show one dead letter whole
    #[command(after_help = "Examples:\n  anabranch dead show 8-0001\n  anabranch dead show shop.yaml 8-0001 --json")]
    Show {
        #[command(flatten)]
        named: Named,
    },
    /// Try dead letters again, each at the step where it failed; the gates of their batch are judged again
    #[command(
        after_help = "Examples:\n  anabranch dead retry 8-0001\n  anabranch dead retry shop.yaml --step loaded --error timeout"
    )]
    Retry {
        #[command(flatten)]
        pick: Pick,
        /// Where a result was written without them, let them go on through the other steps
        #[arg(long)]
        late: bool,
    },
    /// Give dead letters up: their batch is judged without them
    #[command(after_help = "Examples:\n  anabranch dead skip 8-0001\n  anabranch dead skip shop.yaml --batch 8")]
    Skip {
        #[command(flatten)]
        pick: Pick,
    },
    /// Try dead letters again with another value; the letter keeps the old one
    #[command(
        after_help = "Examples:\n  anabranch dead edit 8-0001 --set '{\"country\": \"SE\"}'\n  anabranch dead edit shop.yaml --step loaded --value 'item.trim()' --all"
    )]
    Edit {
        #[command(flatten)]
        pick: Pick,
        /// An expression that gives a map: these fields of the item are replaced or added
        #[arg(long, value_name = "EXPR", conflicts_with = "value")]
        set: Option<String>,
        /// An expression that gives the whole new value. With neither, the editor named by VISUAL or EDITOR is opened
        #[arg(long, value_name = "EXPR")]
        value: Option<String>,
        /// Where a result was written without them, let them go on through the other steps
        #[arg(long)]
        late: bool,
    },
    /// Say that the work of dead letters was done by hand: the action of their step is not called
    #[command(
        after_help = "Examples:\n  anabranch dead settle 8-0001 --as passed\n  anabranch dead settle shop.yaml 8-0001 --as passed --result answer.json"
    )]
    Settle {
        #[command(flatten)]
        pick: Pick,
        /// What became of them
        #[arg(long = "as", value_name = "WHAT", value_parser = ["passed"], required = true)]
        outcome: String,
        /// What the action would have given [default: nothing, the item goes on as it is]
        #[arg(long, value_name = "FILE")]
        result: Option<PathBuf>,
        /// Where a result was written without them, let them go on through the other steps
        #[arg(long)]
        late: bool,
    },
}

/// A flow file and ids of dead letters, in one list.
#[derive(Debug, Clone, Arguments)]
pub struct Named {
    /// The flow file [default: flow.yaml], then ids
    #[arg(value_name = "FLOW] [ID")]
    pub what: Vec<String>,
    #[command(flatten)]
    pub variables: Variables,
}

impl Named {
    /// The flow, and the ids.
    pub fn parts(&self) -> (FlowArg, Vec<String>) {
        let is_id = |text: &String| {
            let number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
            text.split_once('-').is_some_and(|(run, rest)| number(run) && rest.split('.').all(number))
        };
        self.variables.flow(&self.what, |first| !is_id(first))
    }
}

/// What dead letters are like.
#[derive(Debug, Clone, Arguments)]
pub struct Like {
    /// Those that failed at this step
    #[arg(long, value_name = "STEP")]
    pub step: Option<String>,
    /// Those whose error has this text
    #[arg(long, value_name = "TEXT")]
    pub error: Option<String>,
    /// Those that failed in this run
    #[arg(long, value_name = "N")]
    pub run: Option<u64>,
    /// Those of this batch
    #[arg(long, value_name = "N")]
    pub batch: Option<u64>,
}

/// Which dead letters are meant.
#[derive(Debug, Clone, Arguments)]
pub struct Pick {
    #[command(flatten)]
    pub named: Named,
    #[command(flatten)]
    pub like: Like,
    /// All that are not settled
    #[arg(long)]
    pub all: bool,
}
