//! The `defmt` log of a run, decoded with the strings in the ELF file.

use crate::Symbols;
use anyhow::{Context, Result, bail};
use defmt_decoder::{DecodeError, Frame, Table};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Log and exit code of a run.
#[derive(Clone, Debug)]
pub struct Log {
    /// The log, one line per message.
    pub lines: Vec<String>,
    /// The exit code of the firmware; 0 is success, `None` if it was still running.
    pub exit_code: Option<i32>,
}

impl Log {
    /// The value of the last `name=value` in the log.
    ///
    /// # Errors
    /// If the name does not occur; the message shows the log.
    pub fn value(&self, name: &str) -> Result<&str> {
        self.lines
            .iter()
            .rev()
            .flat_map(|line| line.split_whitespace())
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .with_context(|| format!("no {name}= in the log:\n{}", self.lines.join("\n")))
    }
}

/// Decodes the log until it ends; `on_line` gets each line, with its time in front.
///
/// # Errors
/// If the ELF file is not the firmware's, or the log does not end within `limit`.
pub fn read_log(
    elf: &Path,
    output: &Receiver<Vec<u8>>,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<Log> {
    let bytes = crate::regular_file::read(elf)?;
    let table = Table::parse(&bytes)?
        .with_context(|| format!("{} holds no defmt messages", elf.display()))?;
    let (symbols, places) = (Symbols::of(&bytes)?, table.get_locations(&bytes)?);
    let mut decoder = table.new_stream_decoder();
    let mut lines: Vec<String> = Vec::new();
    let end = Instant::now() + limit;
    loop {
        match output.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(chunk) => decoder.received(&chunk),
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(Log {
                    lines,
                    exit_code: None,
                });
            }
            Err(RecvTimeoutError::Timeout) => bail!(
                "no end after {} s; the log so far:\n{}",
                limit.as_secs(),
                lines.join("\n")
            ),
        }
        loop {
            match decoder.decode() {
                Ok(frame) => {
                    if let Some(exit_code) = exit_code(&frame) {
                        let exit_code = Some(exit_code);
                        return Ok(Log { lines, exit_code });
                    }
                    let mut line = symbols.named(&line_of(&frame));
                    let is_error = frame.level().is_some_and(|level| level.as_str() == "error");
                    if is_error && let Some(place) = places.get(&frame.index()) {
                        line += &format!(" [{}:{}]", place.file.display(), place.line);
                    }
                    on_line(&with_time(&frame, &line));
                    lines.push(line);
                }
                Err(DecodeError::UnexpectedEof) => break,
                // A fault within a message truncates it; the decoder finds the next one.
                Err(DecodeError::Malformed) if table.encoding().can_recover() => {
                    let line = "error a message was cut off".to_owned();
                    on_line(&line);
                    lines.push(line);
                }
                Err(DecodeError::Malformed) => bail!("the log of {} is malformed", elf.display()),
            }
        }
    }
}

/// The line behind the time since the timer's start, s; 0 before it.
fn with_time(frame: &Frame<'_>, line: &str) -> String {
    match frame.display_timestamp() {
        Some(time) => in_time_column(&time.to_string(), line),
        None => line.to_owned(),
    }
}

pub(crate) fn in_time_column(time: &str, line: &str) -> String {
    format!("{time:>11} {line}")
}

pub(crate) fn line_of(frame: &Frame<'_>) -> String {
    let level = frame.level().map_or("", |level| level.as_str());
    format!("{level:5} {}", frame.display_message())
}

/// The exit code in the message by which a physical board ends; it is the only one without a level.
fn exit_code(frame: &Frame<'_>) -> Option<i32> {
    if frame.level().is_some() {
        return None;
    }
    let message = frame.display_message().to_string();
    message.strip_prefix("exit_code=")?.parse().ok()
}
