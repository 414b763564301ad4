//! Threads that step chunks together. `rayon` would allocate when it is called from outside, and
//! these wait for one thing only.

use super::chunk::Chunk;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, MutexGuard};
use std::thread::JoinHandle;

pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    chunks: Vec<Mutex<Chunk>>,
    /// Index of the next chunk to step.
    next: AtomicUsize,
    /// Barriers of all threads and the caller, before and after a step.
    start: Barrier,
    end: Barrier,
    is_quitting: AtomicBool,
}

impl Pool {
    /// Starts `threads` threads, the caller's included, but at most one per chunk.
    pub(super) fn new(chunks: Vec<Chunk>, threads: usize) -> Self {
        let threads = threads.min(chunks.len());
        let shared = Arc::new(Shared {
            chunks: chunks.into_iter().map(Mutex::new).collect(),
            next: AtomicUsize::new(0),
            start: Barrier::new(threads),
            end: Barrier::new(threads),
            is_quitting: AtomicBool::new(false),
        });
        let threads = (1..threads)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.serve())
            })
            .collect();
        Self { shared, threads }
    }

    /// A chunk, between steps.
    ///
    /// # Panics
    /// If a thread has panicked in it.
    pub(super) fn chunk(&self, index: usize) -> MutexGuard<'_, Chunk> {
        let chunk = self.shared.chunks[index].lock();
        chunk.unwrap_or_else(|_| panic!("the simulator panicked in another thread"))
    }

    pub(super) fn n_chunks(&self) -> usize {
        self.shared.chunks.len()
    }

    /// Steps every chunk.
    pub(super) fn run(&self) {
        self.shared.next.store(0, Ordering::Relaxed);
        self.shared.start.wait();
        let own = catch_unwind(AssertUnwindSafe(|| self.shared.step()));
        self.shared.end.wait();
        if let Err(panic) = own {
            resume_unwind(panic);
        }
    }
}

impl Shared {
    fn serve(&self) {
        loop {
            self.start.wait();
            if self.is_quitting.load(Ordering::Relaxed) {
                return;
            }
            // The poisoned lock of the chunk reports a panic to the caller.
            let _ = catch_unwind(AssertUnwindSafe(|| self.step()));
            self.end.wait();
        }
    }

    fn step(&self) {
        // The barriers order all other memory; the counter needs no ordering.
        while let Some(chunk) = self.chunks.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if let Ok(mut chunk) = chunk.lock() {
                chunk.step();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.is_quitting.store(true, Ordering::Relaxed);
        if !self.threads.is_empty() {
            self.shared.start.wait();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
