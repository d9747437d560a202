//! The paths of sinks.

use crate::context::RunContext;
use anabranch_engine::{Error, Result};
use anabranch_flow::expr::Scope;
use anabranch_flow::model::SinkAt;

/// What stands behind the name of a file that only a batch wrote.
pub fn of_batch(batch: u64) -> String {
    format!(".batch-{batch}")
}

impl RunContext {
    /// The path of a sink in this run; `None` for standard output.
    pub fn sink_path(&self, stream: usize) -> Result<Option<String>> {
        let path = self.own_path(stream)?;
        Ok(path.map(|path| path + self.beside.get(&stream).map_or("", String::as_str)))
    }

    /// The path of this run, and where what it holds of a held batch waits for the repair of that.
    pub fn sink_aside(&self, stream: usize, batch: u64) -> Result<Option<(String, String)>> {
        let own = self.own_path(stream)?.map(|own| own + &of_batch(batch));
        Ok(self.sink_path(stream)?.zip(own))
    }

    fn own_path(&self, stream: usize) -> Result<Option<String>> {
        let Some(sink) = &self.flow.streams[stream].sink else { return Ok(None) };
        match &sink.to {
            SinkAt::Stdout => Ok(None),
            SinkAt::File(template) => {
                let path = template.render(&Scope::of_run(&self.vars.run, &self.vars.env));
                path.map(Some)
                    .map_err(|f| Error::usage(format!("the path of the sink {}: {f}", self.flow.streams[stream].name)))
            }
        }
    }
}
