//! Compares the log of a run with the file beside the binary: `firmware/src/bin/<binary>.out`.
//!
//! Each line is a message as `cargo firmware` shows it. `*` stands for one character or more within
//! the line: values that differ between boards and models, which other checks look at. A line `...`
//! stands for any number of further lines like the one before it. A board whose log differs has a
//! file of its own, `<binary>.<board>.out`.
//!
//! A physical board counts in cycles, and in QEMU it says what is absent there ([`absent`]).

use pusht_device::{Board, Log, firmware_dir};

/// Panics unless the log equals the expected one.
pub fn compare(binary: &str, board: &Board, log: &Log) {
    let folder = firmware_dir().join("src/bin");
    let own = folder.join(format!("{binary}.{}.out", board.name));
    let path = match own.exists() {
        true => own,
        false => folder.join(format!("{binary}.out")),
    };
    let mut expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = log.lines.clone();
    if board.chip.is_some() {
        expected = expected.replace("instructions", "cycles");
        lines.retain(|line| absence(line).is_none());
    }
    if let Err(difference) = matched(&expected, &lines) {
        panic!(
            "{} on {}: {difference}\nthe log:\n{}",
            path.display(),
            board.name,
            log.lines.join("\n")
        );
    }
}

/// What of the part was absent, each once, in the order of the log.
pub fn absent(log: &Log) -> Vec<&str> {
    let mut names = Vec::new();
    for name in log.lines.iter().filter_map(|line| absence(line)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The name in `warn  absent: NAME; what is done instead`.
fn absence(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("warn  absent: ")?.split_once(';')?;
    Some(name)
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
