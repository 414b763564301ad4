//! Progress bars of the commands.

use indicatif::{ProgressBar, ProgressStyle};

/// Progress bar on standard error that counts `what`; hidden if that is not a terminal.
pub fn progress_bar(what: &'static str) -> ProgressBar {
    let template = "{bar:40} {pos}/{len} {msg} [{elapsed_precise} < {eta_precise}]";
    let bar = ProgressBar::new(0).with_message(what);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
