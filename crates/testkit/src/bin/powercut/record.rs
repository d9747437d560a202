//! Runs the workload as a process of its own and has every call that touches the disk recorded.

use crate::Fallible;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// What is recorded: all that is known to change files or names, or to move a file position. What of it the
/// reader of the trace does not know, it refuses. A question mark: not every kind of processor has that call.
const CALLS: &str = "?open,openat,?openat2,?creat,close,read,readv,lseek,write,writev,pwrite64,pwritev,?pwritev2,\
    ?truncate,ftruncate,fallocate,fsync,fdatasync,sync,syncfs,?sync_file_range,msync,mmap,\
    ?rename,?renameat,renameat2,?unlink,unlinkat,?rmdir,?mkdir,mkdirat,?link,linkat,?symlink,symlinkat,\
    dup,?dup2,dup3,copy_file_range,sendfile,splice,?io_uring_setup,io_submit";

/// A sync takes as long as on a disk, in microseconds: time in which the other thread of a lane writes.
const SLOW: &str = "inject=fsync,fdatasync:delay_enter=2000";

/// Runs the workload in `dir` with its notes going to `notes`, and returns the trace.
pub fn record(dir: &Path, notes: &Path, trace: &Path) -> Fallible<String> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-xx", "-s", "1000000", "-e", "signal=none", "-e"]).arg(format!("trace={CALLS}"));
    strace.args(["-e", SLOW]);
    strace.arg("-o").arg(trace).arg(std::env::current_exe()?);
    strace.arg("--workload").arg(dir).arg("--notes").arg(notes);
    let out = strace.output().map_err(|e| match e.kind() {
        ErrorKind::NotFound => "strace is not on this machine, and without it nothing can be proved: \
            install it (apt install strace, dnf install strace) and run again"
            .to_string(),
        _ => format!("strace cannot be started: {e}"),
    })?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        return Err(format!("the workload under strace failed ({}): {said}", out.status).into());
    }
    Ok(std::fs::read_to_string(trace)?)
}
