//! Words of other tools, and what they are here.

/// The verb of this language for a word of another one.
pub fn verb(word: &str) -> Option<String> {
    let here = match word {
        "map" | "transform" | "apply" | "process" => "here: work with `value` or `set`",
        "flatMap" | "flatmap" | "flat_map" | "explode" | "unnest" => "here: work with `each`",
        "route" | "switch" | "branch" | "choice" | "router" => "here: split",
        "aggregate" | "group" | "groupBy" | "group_by" | "count" | "sum" | "fold" => "here: reduce",
        "union" | "concat" | "fan_in" => "here: merge",
        "partition" | "repartition" | "distribute" => "here: shard",
        "tee" | "broadcast" | "fan_out" | "duplicate" => "here: copy",
        "barrier" | "wait" | "sync" | "await" => "here: join",
        "where" | "select" | "keep" => "here: filter with `where`",
        "exec" | "run" | "command" | "pipe" | "task" | "do" => "here: work with `exec` or `pipe`",
        _ => return None,
    };
    Some(here.to_string())
}

/// The key of this language for a word of another one.
pub fn key(word: &str) -> Option<String> {
    let here = match word {
        "into" | "output" | "outputs" | "sink_to" => "here: to",
        "rejects" | "default" | "else" | "unmatched" => "here: otherwise",
        "when" | "if" | "condition" | "expr" => "here: where",
        "key" | "group-by" | "keys" => "here: by",
        "with" | "agg" | "aggregates" => "here: value",
        "retries" | "attempts" => "here: retry: { attempts: 3 }",
        "on-failed" | "on-failure" => "here: if-failed (a gate) or on-error (an item)",
        "parallelism" | "threads" | "workers" => "here: concurrency",
        _ => return None,
    };
    Some(here.to_string())
}
