//! A Python program in a separate process, which answers a line of JSON with another.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The process. It ends when this is dropped.
pub struct Python {
    name: String,
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Python {
    /// Starts `script` in the Python `python`.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start(python: &Path, script: &str) -> Result<Self> {
        let name = python.display().to_string();
        let mut process = Command::new(python)
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name}: can't be started"))?;
        let requests = process.stdin.take();
        let answers = process.stdout.take().context("no pipe from Python")?;
        Ok(Self {
            name,
            process,
            requests,
            answers: BufReader::new(answers),
        })
    }

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    /// If there is none, or it is not what is expected.
    pub fn ask<A: DeserializeOwned>(&mut self, request: &impl Serialize) -> Result<A> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        let mut requests = self.requests.as_ref().context("no pipe to Python")?;
        // If Python has ended, the read reports it.
        let _ = requests.write_all(line.as_bytes());
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(
            !answer.is_empty(),
            "{}: the program gave no answer",
            self.name
        );
        serde_json::from_str(&answer).with_context(|| format!("{}: `{answer}`", self.name))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // Python ends at the end of its input.
        self.requests = None;
        let _ = self.process.wait();
    }
}
