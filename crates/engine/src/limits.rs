//! Every bound of Anabranch, in one place. A queue, a wait or a batch that is
//! not bounded by one of these is a mistake.

use std::time::Duration;

/// How long a run that opens waits to see the ends of what the last one committed: markers of a leader that died come late.
pub const MARKERS_WAIT: Duration = Duration::from_secs(30);

/// How long a run that has closed waits until others see what it committed.
pub const SEEN_WAIT: Duration = Duration::from_secs(5);
/// How often it looks.
pub const SEEN_EVERY: Duration = Duration::from_millis(10);

/// The largest item the embedded engine takes, in bytes of its value.
pub const ITEM_BYTES: usize = 16 << 20;
/// The largest record batch that is read, whatever a header claims.
pub const BATCH_BYTES: usize = 64 << 20;
/// A fresh batch is closed when it holds this many bytes.
pub const BATCH_TARGET_BYTES: usize = 256 << 10;
/// A file is read and worked on in pieces of about this many bytes.
pub const CHUNK_BYTES: usize = 1 << 20;
/// Pieces of work that may be under way at once, for each worker thread.
pub const CHUNKS_PER_WORKER: usize = 4;
/// Bytes of input under way at once in one process.
pub const BYTES_UNDER_WAY: usize = 24 << 20;
/// Bytes that are read at once where nothing smaller is said, and of a usual commit.
pub const COMMIT_BYTES: usize = 4 << 20;
/// Bytes that all commits of a process may have under way; each lane has its share.
pub const COMMITS_BYTES: usize = 64 << 20;
/// Commits of a lane that may be under way at once.
pub const COMMITS_UNDER_WAY: usize = 2;
/// Commits up to this size are written inside the index: one sync instead of two.
pub const INLINE_BYTES: usize = 32 << 10;
/// A segment file is closed when it has this many bytes.
pub const SEGMENT_BYTES: u64 = 256 << 20;
/// Claims of a lane, one after the other, without a commit by anybody: then the run stops and tells why.
pub const CLAIMS_IN_VAIN: usize = 50;
/// They are claimed so long at least: whoever holds them may be dead, and is a member of its crew for some seconds yet.
pub const CLAIMS_WAIT: Duration = Duration::from_secs(20);
/// Items that an action may have started and not committed, whatever its concurrency.
pub const WINDOW_ITEMS: usize = 1_000;
/// The same for each call that it may make at once: how far a step runs ahead of an item that is not done.
pub const WINDOW_ITEMS_PER_CALL: usize = 64;
/// From one commit of what calls gave to the next, while more calls are under way.
pub const COMMIT_CALLS_EVERY: Duration = Duration::from_millis(10);
/// Failed items that are like each other: so many, and no other, at the beginning of a step stop the run.
pub const FAILED_ALIKE: usize = 20;
/// The longest time that may be given for a call or a pause.
pub const LONGEST_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Bytes of items that an action may have started and not committed.
pub const WINDOW_BYTES: usize = 16 << 20;
/// Memory that the folds of a process may take.
pub const FOLD_BYTES: usize = 1 << 30;
/// Finals that go out in one commit.
pub const FINALS_PER_COMMIT: usize = 20_000;
/// Nesting of a JSON value.
pub const JSON_DEPTH: usize = 128;
/// Bytes of the text of one expression.
pub const EXPRESSION_BYTES: usize = 4 << 10;
/// Levels of brackets in one expression.
pub const EXPRESSION_DEPTH: usize = 32;
/// Bytes of text of one value that an expression makes, and of what is written of it.
pub const VALUE_BYTES: usize = ITEM_BYTES;
/// Elements and fields, however deep, of a list that an expression makes in a loop, by `+` or by taking text apart.
pub const VALUE_PARTS: usize = 1 << 20;
/// Steps that all loops of one evaluation may take together.
pub const LOOP_STEPS: usize = 1_000_000;
/// Bytes that one evaluation may hand to functions and operators, over all its loops: then it ends with an error.
pub const EVALUATION_BYTES: usize = 4 << 30;
/// Stack on which an expression is parsed.
pub const PARSER_STACK_BYTES: usize = 16 << 20;
/// Nodes of a flow file after its aliases are resolved.
pub const YAML_NODES: usize = 100_000;
/// Nesting of a flow file.
pub const YAML_DEPTH: usize = 64;
/// Bytes of a flow file.
pub const YAML_BYTES: usize = 1 << 20;
/// Readers and written partitions in one account.
pub const ACCOUNT_ENTRIES: usize = 8_192;
/// Ways in which a step may reach what it reads, through copies and joins.
pub const WAYS: u64 = 256;
/// Partitions of one stream.
pub const PARTITIONS: u32 = 10_000;
/// Batches of a flow that may be held at once: then no new run begins before some of them are settled.
pub const HELD_BATCHES: usize = 100;
/// Ends of runs of which it is still to be told.
pub const UNTOLD_RUNS: usize = 100;
/// Reports that are kept for each flow.
pub const REPORTS_KEPT: usize = 1_000;
/// Bytes of one report.
pub const REPORT_BYTES: usize = 64 << 10;
/// Dead letters below this are taken by every stream; of a larger one it is asked whether it is.
pub const LETTER_BYTES: usize = 900 << 10;
/// What is kept of an item that is too large to be an item.
pub const OVERSIZE_KEPT_BYTES: usize = 4 << 10;
/// What is kept of what a failed action printed.
pub const ERROR_TEXT_BYTES: usize = 2 << 10;
/// What is kept of what the calls for one item wrote beside their result.
pub const LOG_BYTES: usize = 64 << 10;
/// Calls of one item whose times are kept.
pub const LOGGED_CALLS: usize = 100;
/// Logs of so many runs are kept, and those of batches that are held.
pub const LOGS_RUNS: u64 = 100;
/// What an action may print as its result.
pub const RESULT_BYTES: usize = ITEM_BYTES;
/// How often people see how a run is.
pub const SHOWN_EVERY: Duration = Duration::from_millis(100);
/// So many times as long as a view took to make, the next one is left out.
pub const SHOWN_SHARE: u32 = 20;
/// How long the loop of a process waits for something to happen before it looks itself.
pub const TURN_WAIT: Duration = Duration::from_millis(50);
/// How often offsets are mirrored to consumer groups.
pub const MIRROR_EVERY: Duration = Duration::from_secs(1);
/// How long a run that is told to stop waits for what its threads work on.
pub const STOP_WAIT: Duration = Duration::from_secs(2);
/// The longest wait for news when nothing rings the bell.
pub const BELL_WAIT: Duration = Duration::from_millis(100);
/// Items that are named where nothing comes on.
pub const STALLED_LISTED: usize = 10;
/// How long a sink that is a pipe waits for who reads it.
pub const READER_WAIT: Duration = Duration::from_secs(10);
/// Files of sources that are open at once in one process.
pub const OPEN_FILES: usize = 16;
/// What a pattern leaves out is told by name up to so many.
pub const LEFT_OUT_TOLD: usize = 5;
/// Lanes of a flow.
pub const LANES: u32 = 32;
/// Portions of lines of standard input that may wait for the loop.
pub const STDIN_PORTIONS: usize = 4;
/// Dead letters that one repair may revise: what is in the place of their items is in memory.
pub const REVISED_AT_ONCE: usize = 1_000;
/// Bytes of that.
pub const REVISED_BYTES: usize = 16 << 20;
/// Batches, counted back from the newest run, whose failed items can be taken up again if they are not held.
pub const BATCHES_KEPT: u64 = 1_000;
/// Different failures of a lane that are counted.
pub const FAILURES_COUNTED: usize = 1_000;
/// Different failures that a report lists.
pub const FAILURES_LISTED: usize = 50;
/// Lines that may be with one program of a `pipe` at once, if its answers carry ids.
pub const PIPE_LINES: usize = 64;
/// Bytes that may wait to be sent to one program of a `pipe`.
pub const PIPE_BYTES: usize = 1 << 20;
/// Pieces that are fetched ahead of a reader on Kafka, at most.
pub const FETCHED_AHEAD: usize = 4;
/// Requests under way on one connection: brokers keep the last five batches of a producer apart.
pub const REQUESTS_UNDER_WAY: usize = 5;
/// Connections that wait for the next request, for each broker.
pub const IDLE_CONNECTIONS: usize = 8;

const _: () = assert!(ITEM_BYTES < BATCH_BYTES, "an item must fit a batch");
const _: () = assert!(INLINE_BYTES < COMMIT_BYTES, "inline commits are the small ones");
const _: () = assert!(CHUNK_BYTES * 2 < BYTES_UNDER_WAY, "two workers must find work");
