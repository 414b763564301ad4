//! Points at which a test kills a run, as a power cut would: between the steps that change the file
//! system.

/// Nothing: only tests are killed.
#[cfg(not(test))]
#[inline(always)]
pub fn point() {}

#[cfg(test)]
pub use hook::{point, run_until};

#[cfg(test)]
mod hook {
    use std::cell::RefCell;
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    thread_local! {
        /// Points that this thread still passes, and who hears that it has stopped.
        static KILL: RefCell<Option<(usize, Sender<bool>)>> = const { RefCell::new(None) };
    }

    /// Stops the thread for ever if this is its point: no destructor runs.
    pub fn point() {
        let is_reached = KILL.with_borrow_mut(|kill| match kill {
            None => false,
            Some((0, stopped)) => {
                let _ = stopped.send(true);
                true
            }
            Some((left, _)) => {
                *left -= 1;
                false
            }
        });
        if is_reached {
            loop {
                thread::park();
            }
        }
    }

    /// Runs `run` until it has passed `points` points, on a thread of its own. Returns whether it
    /// was killed there; otherwise it has ended before.
    pub fn run_until(points: usize, run: impl FnOnce() + Send + 'static) -> bool {
        let (sender, receiver) = channel();
        thread::spawn(move || {
            KILL.set(Some((points, sender.clone())));
            run();
            let _ = sender.send(false);
        });
        receiver.recv().expect("the run panicked")
    }
}
