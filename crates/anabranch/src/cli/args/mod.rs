//! What can be typed.

mod dead;

pub use dead::{Dead, Like, Pick};

use anabranch_engine::{Error, Result};
use clap::{Args as Arguments, Parser, Subcommand};
use std::path::PathBuf;

/// Batch flows that finish: exactly once, with no server, and with a report that proves nothing was lost.
#[derive(Debug, Parser)]
#[command(name = "anabranch", version, max_term_width = 100)]
pub struct Args {
    /// Where streams are kept [default: .anabranch beside the flow]
    #[arg(long, global = true, value_name = "DIR", env = "ANABRANCH_DATA")]
    pub data: Option<PathBuf>,
    /// Where streams are kept instead: brokers of a Kafka cluster, with commas between them
    #[arg(long, global = true, value_name = "HOST:PORT", env = "ANABRANCH_KAFKA")]
    pub kafka: Option<String>,
    /// Settings for Kafka (TLS, SASL), a file as its own tools take it: client.properties
    #[arg(long, global = true, value_name = "FILE", env = "ANABRANCH_KAFKA_CONFIG")]
    pub command_config: Option<PathBuf>,
    /// Print a JSON document on standard output (`consume`: one for each item)
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a flow to its end, or continue the open run
    #[command(
        after_help = "Examples:\n  anabranch run shop.yaml\n  anabranch run shop.yaml --env DAY=2026-11-27 --json"
    )]
    Run(Run),
    /// Report everything that is wrong with a flow
    #[command(
        after_help = "Examples:\n  anabranch check shop.yaml\n  anabranch check shop.yaml --kafka localhost:9092"
    )]
    Check(FlowArg),
    /// Say what a run would do now: what it reads, calls and writes. Nothing is opened or written
    #[command(
        after_help = "Examples:\n  anabranch plan shop.yaml\n  anabranch plan shop.yaml --json --kafka localhost:9092"
    )]
    Plan(FlowArg),
    /// Run the tests of a flow: no file, no program, no server
    #[command(
        after_help = "Examples:\n  anabranch test shop.yaml\n  anabranch test shop.yaml big-orders --crash --shuffle 20"
    )]
    Test(Test),
    /// Draw a flow
    #[command(
        after_help = "Examples:\n  anabranch graph shop.yaml\n  anabranch graph shop.yaml --format dot | dot -Tsvg > shop.svg"
    )]
    Graph(Graph),
    /// Print the JSON Schema of flow files, for editors
    #[command(after_help = "Examples:\n  anabranch schema > flow.schema.json\n  anabranch schema | jq .properties")]
    Schema,
    /// Show what became of everything in a run
    #[command(
        after_help = "Examples:\n  anabranch report shop.yaml --run 8\n  anabranch report shop.yaml --html report.html"
    )]
    Report(Report),
    /// List, show and compare runs: the last 1,000 are kept
    #[command(subcommand)]
    Runs(Runs),
    /// Explain why a step is where it is
    #[command(after_help = "Examples:\n  anabranch explain shop.yaml\n  anabranch explain shop.yaml all-loaded")]
    Explain(Explain),
    /// Make, list, describe and delete streams
    #[command(subcommand)]
    Streams(Streams),
    /// Append items, one for each line of standard input
    #[command(
        after_help = "Examples:\n  anabranch produce orders < orders.jsonl\n  echo 'ann:{\"n\": 1}' | anabranch produce orders --key-separator :"
    )]
    Produce(Produce),
    /// Print the items of a stream
    #[command(
        after_help = "Examples:\n  anabranch consume orders --from-beginning --max-messages 10\n  anabranch consume orders --group audit --print key,offset"
    )]
    Consume(Consume),
    /// List, describe and set consumer groups
    #[command(subcommand)]
    Groups(Groups),
    /// Look at dead letters: items that failed, kept with their error
    #[command(subcommand)]
    Dead(Dead),
    /// Show what the calls for items wrote to standard error, and when they were made
    #[command(
        after_help = "Examples:\n  anabranch logs shop.yaml loaded --failed\n  anabranch logs 8-0001\n  anabranch logs shop.yaml --slowest 10"
    )]
    Logs(Logs),
    /// Open a gate with `open: by-hand`: its batch goes on
    #[command(
        after_help = "Examples:\n  anabranch open shop.yaml approved --reason 'looked at all of them'\n  anabranch open shop.yaml approved --batch 8"
    )]
    Open(Open),
}

#[derive(Debug, Clone, Arguments)]
pub struct FlowArg {
    /// The flow file
    #[arg(default_value = "flow.yaml")]
    pub flow: PathBuf,
    #[command(flatten)]
    pub variables: Variables,
}

/// Variables of a flow.
#[derive(Debug, Clone, Arguments)]
pub struct Variables {
    /// A variable of the flow
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// A file of variables, NAME=VALUE on each line
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
}

impl Variables {
    /// The flow, if what stands first is one, and the rest: clap cannot tell them apart.
    pub fn flow(&self, what: &[String], is_flow: impl Fn(&String) -> bool) -> (FlowArg, Vec<String>) {
        let flow = what.first().filter(|first| is_flow(first));
        let rest = what[usize::from(flow.is_some())..].to_vec();
        let flow = flow.map_or_else(|| PathBuf::from("flow.yaml"), PathBuf::from);
        (FlowArg { flow, variables: self.clone() }, rest)
    }
}

#[derive(Debug, Arguments)]
pub struct Run {
    #[command(flatten)]
    pub flow: FlowArg,
    /// Abandon an open run and start a new one
    #[arg(long)]
    pub fresh: bool,
    /// How progress is shown
    #[arg(long, value_parser = ["auto", "bar", "plain", "none"], default_value = "auto")]
    pub progress: String,
}

#[derive(Debug, Arguments)]
pub struct Graph {
    #[command(flatten)]
    pub flow: FlowArg,
    /// As lines of text, as a picture, or for Mermaid or Graphviz to draw
    #[arg(long, value_parser = ["text", "svg", "mermaid", "dot"], default_value = "text")]
    pub format: String,
}

#[derive(Debug, Arguments)]
pub struct Test {
    #[command(flatten)]
    pub flow: FlowArg,
    /// Only these tests
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Kill each run behind each of its commits, let it go on, and compare
    #[arg(long)]
    pub crash: bool,
    /// Run each test in N orders of whatever may come in any order, in up to 8 lanes
    #[arg(long, value_name = "N")]
    pub shuffle: Option<u64>,
    /// Write what came out as what is expected, into the flow file: look at the difference
    #[arg(long)]
    pub accept: bool,
    /// Write the result for tools of continuous integration
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

#[derive(Debug, Arguments)]
pub struct Report {
    #[command(flatten)]
    pub flow: FlowArg,
    /// Number of the run [default: the last one]
    #[arg(long, value_name = "N")]
    pub run: Option<u64>,
    /// Write it as a page for a browser: one file, with the flow drawn, times, slowest calls, and dead letters with their logs
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Runs {
    /// List runs, the newest first
    #[command(after_help = "Examples:\n  anabranch runs list\n  anabranch runs list shop.yaml --max 100")]
    List {
        #[command(flatten)]
        flow: FlowArg,
        /// Only the newest N [default: 20; with --json all]
        #[arg(long, value_name = "N")]
        max: Option<usize>,
    },
    /// Show a run: its report, and what it ran with
    #[command(after_help = "Examples:\n  anabranch runs show 8\n  anabranch runs show shop.yaml 8 --json")]
    Show {
        #[command(flatten)]
        which: Numbered,
    },
    /// Compare two runs: what each step counts, and whether the flow and its programs are the same
    #[command(after_help = "Examples:\n  anabranch runs diff 7 8\n  anabranch runs diff shop.yaml 7 8 --json")]
    Diff {
        #[command(flatten)]
        which: Numbered,
    },
}

/// A flow file and numbers of runs, in one list.
#[derive(Debug, Clone, Arguments)]
pub struct Numbered {
    /// The flow file [default: flow.yaml], then numbers of runs
    #[arg(value_name = "FLOW] [N")]
    pub what: Vec<String>,
    #[command(flatten)]
    pub variables: Variables,
}

impl Numbered {
    /// The flow, and the numbers.
    pub fn parts(&self) -> Result<(FlowArg, Vec<u64>)> {
        let (flow, numbers) = self.variables.flow(&self.what, |first| first.parse::<u64>().is_err());
        let number = |text: &String| {
            let e = || Error::usage(format!("{text} is no number of a run")).help("anabranch runs list  shows them");
            text.parse().map_err(|_| e())
        };
        Ok((flow, numbers.iter().map(number).collect::<Result<_>>()?))
    }
}

#[derive(Debug, Arguments)]
pub struct Explain {
    #[command(flatten)]
    pub flow: FlowArg,
    /// One step
    pub step: Option<String>,
}

#[derive(Debug, Arguments)]
pub struct Logs {
    /// The flow file [default: flow.yaml], then a step, then an id: of a dead letter, or the key or place of an item
    #[arg(value_name = "FLOW] [STEP] [ID")]
    pub what: Vec<String>,
    #[command(flatten)]
    pub variables: Variables,
    /// Only of items that failed
    #[arg(long)]
    pub failed: bool,
    /// Only of this run
    #[arg(long, value_name = "N")]
    pub run: Option<u64>,
    /// The N items whose calls took longest, the slowest first
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    pub slowest: Option<usize>,
    /// Only the newest N [default: 100; with --json all]
    #[arg(long, value_name = "N")]
    pub max: Option<usize>,
    /// Wait for more at the end
    #[arg(long)]
    pub follow: bool,
}

#[derive(Debug, Arguments)]
pub struct Open {
    #[command(flatten)]
    pub flow: FlowArg,
    /// The join
    pub step: Option<String>,
    /// For this batch [default: the one that waits]
    #[arg(long, value_name = "N", conflicts_with = "all")]
    pub batch: Option<u64>,
    /// For every batch that waits
    #[arg(long)]
    pub all: bool,
    /// Why it may open
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who opens it
    #[arg(long, value_name = "NAME", env = "USER", default_value = "somebody", hide_env_values = true)]
    pub by: String,
}

#[derive(Debug, Subcommand)]
pub enum Streams {
    /// Make a stream
    #[command(
        after_help = "Examples:\n  anabranch streams create orders --partitions 10\n  anabranch streams create orders --partitions 10 --replication-factor 3 --config retention.ms=86400000"
    )]
    Create {
        /// Its name
        name: String,
        /// Its partitions
        #[arg(long, default_value_t = 1)]
        partitions: u32,
        /// Copies of it, on an engine that keeps copies
        #[arg(long)]
        replication_factor: Option<u16>,
        /// A setting, as in Kafka's topic configuration
        #[arg(long, value_name = "KEY=VALUE")]
        config: Vec<String>,
        /// It is no error if the stream is there
        #[arg(long)]
        if_not_exists: bool,
    },
    /// List all streams
    #[command(after_help = "Examples:\n  anabranch streams list\n  anabranch streams list --json")]
    List,
    /// Describe a stream and its partitions
    #[command(
        after_help = "Examples:\n  anabranch streams describe orders\n  anabranch streams describe orders --kafka localhost:9092"
    )]
    Describe {
        /// Its name
        name: String,
    },
    /// Delete a stream with all its items
    #[command(
        after_help = "Examples:\n  anabranch streams delete orders\n  anabranch streams delete orders --data .anabranch"
    )]
    Delete {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Arguments)]
pub struct Produce {
    /// The stream
    pub stream: String,
    /// The key of all items
    #[arg(long, conflicts_with = "key_separator")]
    pub key: Option<String>,
    /// Each line is KEY, this text, VALUE
    #[arg(long, value_name = "TEXT")]
    pub key_separator: Option<String>,
}

#[derive(Debug, Arguments)]
pub struct Consume {
    /// The stream
    pub stream: String,
    /// Begin with the first item that is kept (this is the default without a group)
    #[arg(long)]
    pub from_beginning: bool,
    /// Begin at the position of this group, and advance it
    #[arg(long)]
    pub group: Option<String>,
    /// Stop after so many items
    #[arg(long, value_name = "N")]
    pub max_messages: Option<u64>,
    /// Wait for more at the end
    #[arg(long)]
    pub follow: bool,
    /// Also print these: key, headers, timestamp, partition, offset
    #[arg(long, value_delimiter = ',', value_parser = ["key", "headers", "timestamp", "partition", "offset"])]
    pub print: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum Groups {
    /// List all groups
    #[command(after_help = "Examples:\n  anabranch groups list\n  anabranch groups list --json")]
    List,
    /// Show the positions of a group
    #[command(after_help = "Examples:\n  anabranch groups describe group1\n  anabranch groups describe group1 --json")]
    Describe {
        /// The group
        group: String,
    },
    /// Set the position of a group
    #[command(
        after_help = "Examples:\n  anabranch groups reset group1 --to-earliest\n  anabranch groups reset group1 --stream orders --to-offset 100"
    )]
    Reset {
        /// The group
        group: String,
        /// Only this stream of it
        #[arg(long)]
        stream: Option<String>,
        /// To the first item that is kept
        #[arg(long, conflicts_with_all = ["to_latest", "to_offset"])]
        to_earliest: bool,
        /// After the last item
        #[arg(long, conflicts_with = "to_offset")]
        to_latest: bool,
        /// To this offset
        #[arg(long, value_name = "N")]
        to_offset: Option<i64>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn no_two_arguments_of_a_command_have_one_name() {
        super::Args::command().debug_assert();
    }

    #[test]
    fn each_command_has_two_examples() {
        fn leaves(command: &clap::Command) -> Vec<clap::Command> {
            let inner: Vec<_> = command.get_subcommands().filter(|c| c.get_name() != "help").collect();
            if inner.is_empty() { vec![command.clone()] } else { inner.into_iter().flat_map(leaves).collect() }
        }
        for command in leaves(&super::Args::command()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.lines().filter(|l| l.starts_with("  ") && l.contains("anabranch ")).count();
            assert!(help.starts_with("Examples:") && examples >= 2, "{}: {help}", command.get_name());
        }
    }
}
