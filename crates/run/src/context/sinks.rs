//! The files of sinks, and their paths.

use crate::context::RunContext;
use anabranch_engine::{Error, Result};
use anabranch_flow::expr::Scope;
use anabranch_flow::model::SinkAt;
use anabranch_flow::number::StreamNo;
use std::sync::Arc;

/// A file of a sink. A sink whose path is the same for all items has one; the place of another one is named by its path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileOf {
    /// The stream that the sink stores.
    pub sink: StreamNo,
    /// Its path, where the sink has more than one file.
    pub path: Option<Arc<str>>,
}

impl FileOf {
    /// The one file of a sink.
    pub fn only(sink: StreamNo) -> FileOf {
        FileOf { sink, path: None }
    }
}

/// What stands behind the name of a file that only a batch wrote.
pub fn of_batch(batch: u64) -> String {
    format!(".batch-{batch}")
}

impl RunContext {
    /// The files of the sinks that a flow has.
    pub fn files(&self) -> impl Iterator<Item = FileOf> {
        let sinks = self.flow.numbered_streams().filter(|(_, s)| s.sink.is_some());
        sinks.map(|(s, _)| FileOf::only(s))
    }

    /// The path of a sink's file in this run; `None` for standard output.
    pub fn sink_path(&self, file: &FileOf) -> Result<Option<String>> {
        let path = self.own_path(file)?;
        Ok(path.map(|path| path + self.beside.get(&file.sink).map_or("", String::as_str)))
    }

    /// The path of this run, and where what it holds of a held batch waits for the repair of that.
    pub fn sink_aside(&self, file: &FileOf, batch: u64) -> Result<Option<(String, String)>> {
        let own = self.own_path(file)?.map(|own| own + &of_batch(batch));
        Ok(self.sink_path(file)?.zip(own))
    }

    fn own_path(&self, file: &FileOf) -> Result<Option<String>> {
        if let Some(path) = &file.path {
            return Ok(Some(path.to_string()));
        }
        let stream = &self.flow.streams[file.sink];
        let Some(sink) = &stream.sink else { return Ok(None) };
        match &sink.to {
            SinkAt::Stdout => Ok(None),
            SinkAt::File(template) => {
                let path = template.render(&Scope::of_run(&self.vars.run, &self.vars.env));
                path.map(Some).map_err(|f| Error::usage(format!("the path of the sink {}: {f}", stream.name)))
            }
        }
    }
}
