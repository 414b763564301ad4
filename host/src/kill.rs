//! Points at which a test stops a run between the steps that change the file system, as a kill
//! would, and what a power failure then loses of those steps.

/// Nothing: only tests are killed.
#[cfg(not(test))]
#[inline(always)]
pub fn point() {}

/// Nothing, as all below: only tests lose their power.
#[cfg(not(test))]
#[inline(always)]
pub fn replaced(_path: &std::path::Path, _is_synced: bool) {}

#[cfg(not(test))]
#[inline(always)]
pub fn made(_folder: &std::path::Path) {}

#[cfg(not(test))]
#[inline(always)]
pub fn synced_file(_path: &std::path::Path) {}

#[cfg(not(test))]
#[inline(always)]
pub fn synced_folder(_folder: &std::path::Path) {}

#[cfg(test)]
pub use hook::{Loss, made, point, replaced, run_until, run_until_power_fails};
#[cfg(test)]
pub use hook::{synced_file, synced_folder};

#[cfg(test)]
mod hook {
    use std::cell::RefCell;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::thread;

    /// A step that is not yet certain to survive a power failure.
    enum Change {
        /// A file that took the place of `old`; its contents may be synchronised with the disk.
        Replaced {
            path: PathBuf,
            old: Option<Vec<u8>>,
            is_synced: bool,
        },
        /// A folder that was made.
        Made(PathBuf),
    }

    /// A run that will be stopped.
    struct Run {
        /// Points that this thread still passes.
        points: usize,
        /// Who hears that it has stopped.
        stopped: Sender<bool>,
        changes: Arc<Mutex<Vec<Change>>>,
    }

    thread_local! {
        static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
    }

    /// Stops the thread for ever if this is its point: no destructor runs.
    pub fn point() {
        let is_reached = RUN.with_borrow_mut(|run| match run {
            None => false,
            Some(Run {
                points: 0, stopped, ..
            }) => {
                let _ = stopped.send(true);
                true
            }
            Some(run) => {
                run.points -= 1;
                false
            }
        });
        if is_reached {
            loop {
                thread::park();
            }
        }
    }

    fn with_changes(change: impl FnOnce(&mut Vec<Change>)) {
        RUN.with_borrow(|run| {
            if let Some(run) = run {
                change(&mut run.changes.lock().unwrap());
            }
        });
    }

    /// The file at `path` is about to be replaced; `is_synced`: its new contents are on the disk.
    pub fn replaced(path: &Path, is_synced: bool) {
        let old = fs::read(path).ok();
        let path = path.to_owned();
        with_changes(|changes| {
            changes.push(Change::Replaced {
                path,
                old,
                is_synced,
            });
        });
    }

    /// The folder has been made.
    pub fn made(folder: &Path) {
        with_changes(|changes| changes.push(Change::Made(folder.to_owned())));
    }

    /// The contents of the file at `path` have been synchronised with the disk.
    pub fn synced_file(path: &Path) {
        with_changes(|changes| {
            for change in changes {
                match change {
                    Change::Replaced {
                        path: changed,
                        is_synced,
                        ..
                    } if changed == path => *is_synced = true,
                    _ => {}
                }
            }
        });
    }

    /// The names in `folder` have been synchronised with the disk.
    pub fn synced_folder(folder: &Path) {
        let is_in = |path: &Path| path.parent() == Some(folder);
        with_changes(|changes| {
            changes.retain(|change| match change {
                Change::Replaced {
                    path, is_synced, ..
                } => !(is_in(path) && *is_synced),
                Change::Made(path) => !is_in(path),
            });
        });
    }

    /// Runs `run` until it has passed `points` points, on a thread of its own. Returns whether it
    /// was killed there; otherwise it has ended before.
    pub fn run_until(points: usize, run: impl FnOnce() + Send + 'static) -> bool {
        stop(points, run).0
    }

    /// What a power failure does to each step that is not certain to survive it. A file whose name
    /// survives without its contents is empty.
    #[derive(Clone, Copy, Debug)]
    pub enum Loss {
        /// It is lost.
        All,
        /// It survives.
        Names,
        /// Either, by the bits of this number and by the number of the step.
        Some(u64),
    }

    /// As [`run_until`]; then the power fails.
    pub fn run_until_power_fails(
        points: usize,
        loss: Loss,
        run: impl FnOnce() + Send + 'static,
    ) -> bool {
        let (is_killed, changes) = stop(points, run);
        let is_lost = |index: usize| match loss {
            Loss::All => true,
            Loss::Names => false,
            // SplitMix64's finaliser, for any number's bits.
            Loss::Some(seed) => {
                let mixed = (seed + index as u64 + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) >> 63 == 1
            }
        };
        // From the newest on. An older file that survives is what a newer, lost one replaced.
        for (index, change) in changes.lock().unwrap().drain(..).enumerate().rev() {
            match (change, is_lost(index)) {
                (Change::Replaced { path, old, .. }, true) => undone(match old {
                    Some(old) => fs::write(path, old),
                    None => fs::remove_file(path),
                }),
                (
                    Change::Replaced {
                        path,
                        is_synced: false,
                        ..
                    },
                    false,
                ) => undone(fs::write(path, "")),
                (Change::Made(folder), true) => undone(fs::remove_dir_all(folder)),
                _ => {}
            }
        }
        is_killed
    }

    /// A step that was undone, unless the run removed or moved its folder itself.
    fn undone(result: std::io::Result<()>) {
        if let Err(error) = result {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }

    fn stop(points: usize, run: impl FnOnce() + Send + 'static) -> (bool, Arc<Mutex<Vec<Change>>>) {
        let (stopped, receiver) = channel();
        let changes = Arc::new(Mutex::new(Vec::new()));
        let shared = changes.clone();
        thread::spawn(move || {
            RUN.set(Some(Run {
                points,
                stopped: stopped.clone(),
                changes: shared,
            }));
            run();
            let _ = stopped.send(false);
        });
        (receiver.recv().expect("the run panicked"), changes)
    }
}
