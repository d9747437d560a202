//! The bell: one byte that is written after each commit, so that others wake up.
//! It may be missed and is never trusted: every wait has an end.

use anabranch_engine::{Result, limits};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::fs::inotify::{CreateFlags, WatchFlags};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// Rings, and waits for rings, across processes.
pub struct Bell {
    file: File,
    watch: Option<OwnedFd>,
}

impl Bell {
    /// Opens the bell of a directory.
    pub fn open(path: &Path) -> Result<Bell> {
        let file = crate::directory::lock_file(path)?;
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        let watch = watch.filter(|w| inotify::add_watch(w, path, WatchFlags::MODIFY).is_ok());
        Ok(Bell { file, watch })
    }

    /// Wakes everybody who waits.
    pub fn ring(&self) {
        let _ = self.file.write_at(b"!", 0);
    }

    /// Waits for a ring, at most `wait` and never longer than [`limits::BELL_WAIT`].
    pub fn wait(&self, wait: Duration) {
        let wait = wait.min(limits::BELL_WAIT);
        let Some(watch) = &self.watch else { return std::thread::park_timeout(wait.min(Duration::from_millis(20))) };
        let timeout =
            rustix::event::Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        if poll(&mut [PollFd::new(watch, PollFlags::IN)], Some(&timeout)).is_ok_and(|n| n > 0) {
            let mut buf = [MaybeUninit::uninit(); 1024];
            let mut events = inotify::Reader::new(watch, &mut buf);
            while events.next().is_ok() {}
        }
    }
}
