//! Threads that step or draw chunks together. `rayon` would allocate when it is called from
//! outside.
//!
//! Nobody waits for a thread, only for chunks: where the other cores are busy with something else,
//! the caller works through all of them, as fast as alone.
#![allow(unsafe_code)]

use super::CHUNK;
use super::chunk::Chunk;
use super::shared_slice::SharedSlice;
use crate::pixels::Renderer;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread looks for work before it sleeps, since waking it takes as long: a chunk's time.
const SPIN: Duration = Duration::from_micros(50);

pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    chunks: Vec<Mutex<Chunk>>,
    /// Index of the next chunk to work on; past the last one between jobs.
    next: AtomicUsize,
    /// Number of chunks that the job has been done with.
    n_done: AtomicUsize,
    job: Mutex<Job>,
    /// Of each thread, the caller first.
    renderers: Vec<Mutex<Renderer>>,
    /// Whether the caller sleeps until the last chunk is done.
    is_caller_asleep: Mutex<bool>,
    done: Condvar,
    is_quitting: AtomicBool,
}

/// What is done with every chunk.
#[derive(Clone, Copy)]
enum Job {
    Step,
    Draw(Pictures, SharedSlice),
}

/// Pictures of every environment.
#[derive(Clone, Copy)]
pub(super) struct Pictures {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Whether they are the last ones of the episodes that ended in the latest step.
    pub(super) are_final: bool,
}

impl Pictures {
    /// Bytes per picture.
    pub(super) fn len(&self) -> usize {
        3 * self.width * self.height
    }
}

impl Pool {
    /// Starts `threads` threads, the caller's included, but at most one per chunk.
    pub(super) fn new(chunks: Vec<Chunk>, threads: usize) -> Self {
        let threads = threads.min(chunks.len());
        let shared = Arc::new(Shared {
            next: AtomicUsize::new(chunks.len()),
            n_done: AtomicUsize::new(chunks.len()),
            chunks: chunks.into_iter().map(Mutex::new).collect(),
            job: Mutex::new(Job::Step),
            renderers: (0..threads).map(|_| Mutex::new(Renderer::new())).collect(),
            is_caller_asleep: Mutex::new(false),
            done: Condvar::new(),
            is_quitting: AtomicBool::new(false),
        });
        let threads = (1..threads)
            .map(|thread| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.serve(thread))
            })
            .collect();
        Self { shared, threads }
    }

    /// A chunk, between jobs.
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
    pub(super) fn step(&mut self) {
        self.run(Job::Step);
    }

    /// Draws every chunk into `out`, one picture per environment.
    pub(super) fn draw(&mut self, pictures: Pictures, out: &mut [u8]) {
        for thread in 0..self.shared.renderers.len() {
            // Of every thread, so that what a later job allocates does not depend on its speed.
            let mut renderer = self.renderer(thread);
            let prepared = renderer.prepare(pictures.width, pictures.height);
            debug_assert_eq!(prepared, Ok(()), "the size was checked");
        }
        // `out` stays borrowed until `run` has seen that every chunk is done.
        self.run(Job::Draw(pictures, SharedSlice::new(out)));
    }

    /// The renderer of a thread; 0 is the caller's.
    pub(super) fn renderer(&self, thread: usize) -> MutexGuard<'_, Renderer> {
        lock(&self.shared.renderers[thread])
    }

    /// Has all threads, the caller's included, work on the chunks. The pool is borrowed mutably, so
    /// there is one job at a time.
    fn run(&mut self, job: Job) {
        let shared = &self.shared;
        *lock(&shared.job) = job;
        shared.n_done.store(0, Ordering::Relaxed);
        // Who takes a chunk sees what was stored before.
        shared.next.store(0, Ordering::Release);
        for thread in &self.threads {
            thread.thread().unpark();
        }
        let panic = shared.work(0);
        shared.wait_until_done();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Shared {
    fn serve(&self, thread: usize) {
        while !self.is_quitting.load(Ordering::Relaxed) {
            // The poisoned lock of the chunk reports a panic to the caller.
            let _ = self.work(thread);
            let is_wanted = || {
                self.next.load(Ordering::Relaxed) < self.chunks.len()
                    || self.is_quitting.load(Ordering::Relaxed)
            };
            if !spin_until(is_wanted) {
                std::thread::park();
            }
        }
    }

    /// Takes chunks and works on them until none is left. Returns the last panic of it.
    fn work(&self, thread: usize) -> Option<Box<dyn Any + Send>> {
        let mut panic = None;
        loop {
            let index = self.next.fetch_add(1, Ordering::Acquire);
            let Some(chunk) = self.chunks.get(index) else {
                return panic;
            };
            // The job is this chunk's: until that is done, the caller sets no other.
            let job = *lock(&self.job);
            let worked = catch_unwind(AssertUnwindSafe(|| {
                if let Ok(mut chunk) = chunk.lock() {
                    self.work_on(&mut chunk, index, job, thread);
                }
            }));
            panic = worked.err().or(panic);
            if self.n_done.fetch_add(1, Ordering::AcqRel) + 1 == self.chunks.len()
                && *lock(&self.is_caller_asleep)
            {
                self.done.notify_one();
            }
        }
    }

    fn work_on(&self, chunk: &mut Chunk, index: usize, job: Job, thread: usize) {
        match job {
            Job::Step => chunk.step(),
            Job::Draw(pictures, out) => {
                let first = index * CHUNK;
                let rows = first * pictures.len()..(first + chunk.len()) * pictures.len();
                // SAFETY: `Pool::draw` holds the slice until all chunks are done, and each chunk,
                // with rows of its own, is taken by one thread.
                let rows = unsafe { out.part(rows) };
                chunk.draw(pictures, &mut lock(&self.renderers[thread]), rows);
            }
        }
    }

    /// Waits for the chunks that other threads are still working on.
    fn wait_until_done(&self) {
        let is_done = || self.n_done.load(Ordering::Acquire) == self.chunks.len();
        if spin_until(is_done) {
            return;
        }
        let mut is_asleep = lock(&self.is_caller_asleep);
        *is_asleep = true;
        while !is_done() {
            let woken = self.done.wait(is_asleep);
            is_asleep = woken.unwrap_or_else(PoisonError::into_inner);
        }
        *is_asleep = false;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks again and again whether `is_it`, for [`SPIN`] at most, and returns what it saw last.
fn spin_until(is_it: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !is_it() {
        if start.elapsed() > SPIN {
            return false;
        }
        std::hint::spin_loop();
    }
    true
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.is_quitting.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
