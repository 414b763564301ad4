//! A worker in a process: the worker's side.

use super::process::{ProcessStart, WORKER_VARIABLE};
use super::protocol::{Answer, Call, Reply, Request, fatal, guarded, perform};
use super::shared_memory::SharedMemory;
use super::wire;
use crate::env::Registry;
use crate::value::Value;
use crate::vector::autoreset::SubEnv;
use crate::vector::batcher::Description;
use crate::vector::error::Cause;
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this program has called [`run_if_worker`].
static HAS_ENTERED: AtomicBool = AtomicBool::new(false);

/// Whether this process is a worker that has not called [`run_if_worker`]: its own workers would
/// start workers without end.
pub(super) fn has_missed_entry() -> bool {
    std::env::var_os(WORKER_VARIABLE).is_some() && !HAS_ENTERED.load(Ordering::Relaxed)
}

/// Turns this process into a worker if an [`AsyncVectorEnv`](super::AsyncVectorEnv) started it as
/// one: it then runs a sub-environment and exits with the caller. Otherwise it returns immediately.
///
/// A program that uses [`AsyncVectorEnv::processes`](super::AsyncVectorEnv::processes) calls this
/// first in `main`. Workers make sub-environments by name from `registry`, since closures can't be
/// sent to another process.
pub fn run_if_worker(registry: &Registry) {
    HAS_ENTERED.store(true, Ordering::Relaxed);
    if std::env::var_os(WORKER_VARIABLE).is_none() {
        return;
    }
    let Ok(socket) = take_socket() else {
        // A child of a worker: it inherits the variable, but not the connection.
        return;
    };
    let code = match serve(registry, &socket) {
        Ok(()) => 0,
        Err(error) => match error.kind() {
            // The caller is gone, or did not want this worker.
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => 0,
            _ => {
                // `eprintln` would panic where nobody listens.
                let _ = writeln!(
                    io::stderr(),
                    "error: worker of a vector environment: {error}"
                );
                1
            }
        },
    };
    std::process::exit(code);
}

/// Takes the connection to the caller from standard input, and leaves an empty standard input
/// behind.
fn take_socket() -> io::Result<UnixStream> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.peer_addr()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(socket)
}

fn serve(registry: &Registry, socket: &UnixStream) -> io::Result<()> {
    end_with(socket.try_clone()?)?;
    let ProcessStart {
        start,
        spec,
        has_shared_memory,
    } = wire::read(socket)?;
    let env = match guarded(|| registry.make(&spec)).and_then(|made| made.map_err(Cause::Error)) {
        Ok(env) => env,
        Err(cause) => return reply(socket, 0, Err(cause)),
    };
    let space = env.observation_space();
    let description = Description::of(&*env);
    reply(socket, 0, Ok(Answer::Started(Box::new(description))))?;
    let mut sub = SubEnv::new(env, start.autoreset_mode, start.is_over);
    let memory = if has_shared_memory {
        let (file, num_envs) = wire::receive_file(socket)?;
        Some(SharedMemory::open(&space, num_envs, file).map_err(io::Error::other)?)
    } else {
        None
    };
    loop {
        let Request { number, call } = wire::read(socket)?;
        let is_last = matches!(call, Call::Close);
        let mut answer = perform(&mut sub, call);
        if let (Some(memory), Ok(answer)) = (&memory, &mut answer)
            && let Some(observation) = answer.observation()
        {
            memory.write(start.index, observation);
            *observation = Value::None;
        }
        let has_panicked = fatal(&answer).is_some();
        reply(socket, number, answer)?;
        if is_last || has_panicked {
            return Ok(());
        }
    }
}

fn reply(mut socket: &UnixStream, number: u64, answer: Result<Answer, Cause>) -> io::Result<()> {
    socket.write_all(&wire::frame(&Reply { number, answer }))
}

/// Exits this process when the caller's ends, even while the sub-environment hangs.
fn end_with(socket: UnixStream) -> io::Result<()> {
    std::thread::Builder::new()
        .name("caller".into())
        .spawn(move || {
            // Without requested events, poll returns only when the other side hangs up.
            let mut watched = [PollFd::new(&socket, PollFlags::empty())];
            while poll(&mut watched, None).is_err() {}
            std::process::exit(0);
        })
        .map(|_| ())
}
