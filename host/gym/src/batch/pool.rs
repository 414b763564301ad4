//! Threads that step or draw chunks together. `rayon` would allocate when it is called from
//! outside, and these wait for one thing only.
#![allow(unsafe_code)]

use super::CHUNK;
use super::chunk::Chunk;
use super::shared_slice::SharedSlice;
use crate::pixels::Renderer;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// The caller's; each thread has its own.
    renderer: Option<Renderer>,
}

struct Shared {
    chunks: Vec<Mutex<Chunk>>,
    /// Index of the next chunk to work on.
    next: AtomicUsize,
    job: Mutex<Job>,
    /// Barriers of all threads and the caller, before and after a job.
    start: Barrier,
    end: Barrier,
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
            chunks: chunks.into_iter().map(Mutex::new).collect(),
            next: AtomicUsize::new(0),
            job: Mutex::new(Job::Step),
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
        Self {
            shared,
            threads,
            renderer: None,
        }
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
        // `out` stays borrowed until every thread has passed the barrier at the end of `run`.
        self.run(Job::Draw(pictures, SharedSlice::new(out)));
    }

    /// The caller's renderer.
    pub(super) fn renderer(&mut self) -> &mut Renderer {
        self.renderer.get_or_insert_with(Renderer::new)
    }

    /// Has all threads, the caller's included, work on the chunks. The pool is borrowed mutably, so
    /// there is one job at a time.
    fn run(&mut self, job: Job) {
        let shared = &self.shared;
        shared.next.store(0, Ordering::Relaxed);
        *shared.job() = job;
        shared.start.wait();
        let own = catch_unwind(AssertUnwindSafe(|| shared.work(job, &mut self.renderer)));
        shared.end.wait();
        if let Err(panic) = own {
            resume_unwind(panic);
        }
    }
}

impl Shared {
    fn serve(&self) {
        let mut renderer = None;
        loop {
            self.start.wait();
            if self.is_quitting.load(Ordering::Relaxed) {
                return;
            }
            let job = *self.job();
            // The poisoned lock of the chunk reports a panic to the caller.
            let _ = catch_unwind(AssertUnwindSafe(|| self.work(job, &mut renderer)));
            self.end.wait();
        }
    }

    fn job(&self) -> MutexGuard<'_, Job> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, job: Job, renderer: &mut Option<Renderer>) {
        if let Job::Draw(pictures, _) = job {
            // By every thread, so that what a later job allocates does not depend on its speed.
            let renderer = renderer.get_or_insert_with(Renderer::new);
            let prepared = renderer.prepare(pictures.width, pictures.height);
            debug_assert_eq!(prepared, Ok(()), "the size was checked");
        }
        // The barriers order all other memory; the counter needs no ordering.
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = self.chunks.get(index) else {
                return;
            };
            let Ok(mut chunk) = chunk.lock() else {
                continue;
            };
            match job {
                Job::Step => chunk.step(),
                Job::Draw(pictures, out) => {
                    let renderer = renderer.get_or_insert_with(Renderer::new);
                    let first = index * CHUNK;
                    let rows = first * pictures.len()..(first + chunk.len()) * pictures.len();
                    // SAFETY: `Pool::draw` holds the slice until all threads are done, and each
                    // chunk, with rows of its own, is taken by one thread.
                    let rows = unsafe { out.part(rows) };
                    chunk.draw(pictures, renderer, rows);
                }
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
