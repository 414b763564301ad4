//! Standard output and standard error, either of which may break: printing never panics.
//!
//! The first failure of standard output is kept and what follows is dropped, so that a command
//! still writes the files it promised; [`exit_code`] tells of the failure at the end.

use crate::printable::{printable, printable_lines};
use anyhow::Result;
use clap::Parser;
use std::fmt::{Arguments, Display, Formatter};
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Exit code of a program whose reader is gone: a shell's for one that SIGPIPE ended, 128 + 13.
const BROKEN_PIPE: u8 = 141;

/// Windows' error for a named pipe without a reader, which std does not count among broken pipes.
const PIPE_NOT_CONNECTED: i32 = 233;

static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// Standard output has failed, as [`exit_code`] tells.
#[derive(Debug)]
pub struct Broken;

impl Display for Broken {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "standard output")
    }
}

impl std::error::Error for Broken {}

/// Prints to standard output, as `print!` does.
#[macro_export]
macro_rules! out {
    ($($text:tt)*) => {
        $crate::stdout::print(format_args!($($text)*))
    };
}

/// Prints a line to standard output, as `println!` does.
#[macro_export]
macro_rules! outln {
    ($($text:tt)*) => {
        $crate::stdout::print(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// Prints a line to standard error, as `eprintln!` does.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => {
        $crate::stdout::print_error(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// Prints to standard output, unless it has failed. Nothing in the text, whose parts may come from
/// a file or a device, can be an escape sequence of the terminal.
pub fn print(text: Arguments<'_>) {
    let text = text.to_string();
    attempt(|| io::stdout().write_all(printable_lines(&text).as_bytes()));
}

/// Prints to standard error in the same way; nobody could be told of its failure.
pub fn print_error(text: Arguments<'_>) {
    let text = text.to_string();
    let _ = io::stderr().write_all(printable_lines(&text).as_bytes());
}

/// Standard output as a writer, whose failure is kept as well.
#[derive(Debug)]
pub struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        attempt(|| io::stdout().write_all(bytes));
        check().map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        attempt(|| io::stdout().flush());
        check().map_err(io::Error::other)
    }
}

/// Ends early where nobody reads: for commands that promise no file.
///
/// # Errors
/// [`Broken`] if standard output has failed.
pub fn check() -> Result<(), Broken> {
    match *failure() {
        Some(_) => Err(Broken),
        None => Ok(()),
    }
}

/// Parses the command line. What it asks for itself (`--help`, `--version`) or breaks is printed.
///
/// # Errors
/// The exit code, if the program is to end.
pub fn parse<P: Parser>() -> Result<P, ExitCode> {
    P::try_parse().map_err(|error| {
        if error.use_stderr() {
            // Without colours: the arguments in it could have some of their own.
            print_error(format_args!("{}", error.render()));
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
        attempt(|| error.print());
        exit_code(Ok(()))
    })
}

/// Exit code of a program that ends with `result`, whose error is printed in one line: 0, 1 for an
/// error or a full standard output, and 141, without a line, where nobody reads that any more.
pub fn exit_code(result: Result<()>) -> ExitCode {
    if let Err(error) = result
        && !error.is::<Broken>()
    {
        errln!("error: {}", printable(&format!("{error:#}")));
        return ExitCode::FAILURE;
    }
    attempt(|| io::stdout().flush());
    match &*failure() {
        None => ExitCode::SUCCESS,
        Some(error) if is_reader_gone(error) => ExitCode::from(BROKEN_PIPE),
        Some(error) => {
            errln!("error: can't write to standard output: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the other end of a pipe is closed.
fn is_reader_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
        || cfg!(windows) && error.raw_os_error() == Some(PIPE_NOT_CONNECTED)
}

fn attempt(write: impl FnOnce() -> io::Result<()>) {
    let mut failure = failure();
    if failure.is_none() {
        *failure = write().err();
    }
}

fn failure() -> MutexGuard<'static, Option<io::Error>> {
    FAILURE.lock().unwrap_or_else(PoisonError::into_inner)
}
