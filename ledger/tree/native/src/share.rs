//! Work shared among threads. The results do not depend on how many there are.

use std::sync::{Mutex, OnceLock};
use std::thread;

/// As many threads as were asked for; 0 asks for one a core that this process may use.
pub fn count(threads: usize) -> usize {
    const MOST: usize = 64; // More only costs memory: hashing is at the pace of memory before.
    // Asked once: finding it out reads files of the system, which takes longer than hashing a thousand nodes.
    static CORES: OnceLock<usize> = OnceLock::new();
    let asked = if threads == 0 { *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from)) } else { threads };
    asked.min(MOST)
}

/// Do each of `tasks` once, on at most `threads` threads; `scratch` makes what one thread needs for all its tasks.
///
/// A thread that the system refuses is done without: the calling one always works.
pub fn share<Task, Scratch>(
    threads: usize,
    tasks: impl ExactSizeIterator<Item = Task> + Send,
    scratch: impl Fn() -> Scratch + Sync,
    work: impl Fn(&mut Scratch, Task) + Sync,
) {
    let others = threads.min(tasks.len()).saturating_sub(1);
    let queue = Mutex::new(tasks);
    let run = || {
        let mut own = scratch();
        // Taken out before the work begins, so that the lock is not held meanwhile.
        while let Some(task) = { queue.lock().unwrap().next() } {
            work(&mut own, task);
        }
    };
    thread::scope(|scope| {
        for _ in 0..others {
            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
}
