//! Console helpers of the commands: parsing of seeds, progress bars.

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use std::ops::Range;

/// Parses a range of seeds `A..B`, B excluded.
///
/// # Errors
/// If the text has another form or the range is empty.
pub fn parse_seeds(text: &str) -> Result<Range<u64>> {
    let (from, to) = text.split_once("..").context("seeds are written A..B")?;
    let range = from.parse()?..to.parse()?;
    ensure!(
        !range.is_empty(),
        "{text} holds no seed: B is excluded and must be larger than A"
    );
    Ok(range)
}

/// Progress bar on standard error that counts `what`; hidden if that is not a terminal.
pub fn progress_bar(what: &'static str) -> ProgressBar {
    let template = "{bar:40} {pos}/{len} {msg} [{elapsed_precise} < {eta_precise}]";
    let bar = ProgressBar::new(0).with_message(what);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_half_open_range() {
        assert_eq!(parse_seeds("3..5").unwrap(), 3..5);
        for bad in ["3", "5..3", "3..3", "a..b", "1...3", "-1..3"] {
            assert!(parse_seeds(bad).is_err(), "{bad}");
        }
    }
}
