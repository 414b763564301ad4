//! Compares the log of a run with the file beside the binary: `firmware/src/bin/<binary>.out`.
//!
//! Each line is a message as `cargo firmware` shows it. `*` stands for one character or more within
//! the line: values that differ between boards and models, which other checks look at. A line `...`
//! stands for any number of further lines like the one before it.

use pusht_device::{Log, firmware_dir};

/// Panics unless the log equals the expected one.
pub fn compare(binary: &str, board: &str, log: &Log) {
    let path = firmware_dir().join(format!("src/bin/{binary}.out"));
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if let Err(difference) = matched(&expected, &log.lines) {
        panic!(
            "{} on {board}: {difference}\nthe log:\n{}",
            path.display(),
            log.lines.join("\n")
        );
    }
}

/// Compares the log with the expected lines; an error describes the first difference.
fn matched(expected: &str, log: &[String]) -> Result<(), String> {
    let mut lines = log.iter().peekable();
    let mut before = "";
    for (number, wanted) in (1..).zip(expected.lines()) {
        if wanted == "..." {
            while lines.next_if(|line| is_like(before, line)).is_some() {}
            continue;
        }
        match lines.next() {
            Some(line) if is_like(wanted, line) => before = wanted,
            Some(line) => return Err(format!("line {number}: `{line}` is not like `{wanted}`")),
            None => return Err(format!("line {number}: the log ends before `{wanted}`")),
        }
    }
    lines.next().map_or(Ok(()), |line| {
        Err(format!("`{line}` comes after all that is expected"))
    })
}

/// Whether `line` matches `pattern`, in which `*` stands for one character or more.
fn is_like(pattern: &str, line: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == line;
    };
    let Some(behind) = line.strip_prefix(start) else {
        return false;
    };
    let ends = behind.char_indices().map(|(at, c)| at + c.len_utf8());
    ends.into_iter().any(|at| is_like(rest, &behind[at..]))
}

#[test]
fn a_log_that_differs_from_the_expected_one_is_refused() {
    let log = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>()
    };
    let expected = "info  board=* start\ninfo  tick *: *\n...\nerror at *]\n";
    let right = [
        "info  board=m3 start",
        "info  tick 0: a",
        "info  tick 10: b",
        "error at x]",
    ];
    assert_eq!(matched(expected, &log(&right)), Ok(()));
    assert_eq!(
        matched(expected, &log(&[right[0], right[1], right[3]])),
        Ok(())
    );
    for wrong in [
        &["info  board= start", right[1], right[3]][..],
        &["info  board=m3 star", right[1], right[3]],
        &[right[0], right[3]],
        &[right[0], right[1], "info  tack 10: b", right[3]],
        &[right[0], right[1]],
        &[right[0], right[1], right[3], right[3]],
        &[right[0], right[1], "error at x] again"],
    ] {
        assert!(matched(expected, &log(wrong)).is_err(), "{wrong:?}");
    }
}
