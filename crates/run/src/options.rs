//! How a run is to be done.

use crate::ledger::view::RunView;
use crate::piece::wanted::Repair;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// How a run is to be done.
#[derive(Default)]
pub struct Options {
    /// Set by others to stop the run: what is finished is committed, the rest is done when it is run again.
    pub stop: Arc<AtomicBool>,
    /// Abandon an open run first.
    pub fresh: bool,
    /// Work for failed items of an older batch, instead of a new one.
    pub repair: Option<Repair>,
    /// Worker threads; 0 = one for each core.
    pub workers: usize,
    /// Where the run can be watched while it works.
    pub watch: Option<Arc<Watch>>,
    /// Told once what the engine leaves out, and which run is taken up.
    pub note: Option<Box<Note>>,
}

/// Where a run can be watched: it puts its newest view here a few times in a second, and waits for nobody.
#[derive(Debug, Default)]
pub struct Watch {
    newest: Mutex<(Option<Arc<RunView>>, bool)>,
    news: Condvar,
}

impl Watch {
    /// Puts a view in the place of the last one.
    pub fn publish(&self, view: RunView) {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(Arc::new(view));
        self.news.notify_all();
    }

    /// The newest view, if there is one yet.
    pub fn newest(&self) -> Option<Arc<RunView>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Waits for another view than this one; `None` once the watch has ended.
    pub fn next(&self, seen: Option<&Arc<RunView>>) -> Option<Arc<RunView>> {
        let is_old = |newest: &Option<Arc<RunView>>| match (newest, seen) {
            (Some(newest), Some(seen)) => Arc::ptr_eq(newest, seen),
            (newest, _) => newest.is_none(),
        };
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.news.wait_while(newest, |(newest, ended)| !*ended && is_old(newest));
        let newest = newest.unwrap_or_else(PoisonError::into_inner);
        newest.0.clone().filter(|_| !newest.1)
    }

    /// Ends the watch: who waits is told.
    pub fn end(&self) {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.news.notify_all();
    }
}

/// Is told something once.
pub type Note = dyn FnMut(&str) + Send;

impl Options {
    pub(crate) fn note(&mut self, text: &str) {
        if let Some(note) = &mut self.note {
            note(text);
        }
    }
}
