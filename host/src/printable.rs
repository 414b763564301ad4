//! Text from outside (a file, a device, a path) for a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` with every character that a terminal obeys instead of showing it written as its code:
/// control characters, and those that turn the direction of writing. One line stays one line.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed)
}

/// The same of a text of several lines.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| character != '\n' && is_obeyed(character))
}

fn escaped(text: &str, is_obeyed: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_obeyed(character) {
            // As in JSON; all of these characters have 16 bits. Writing to a string cannot fail.
            let _ = write!(shown, "\\u{:04x}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, the Unicode bidirectional ones, and line separators.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_finds_nothing_to_obey() {
        for (text, shown) in [
            (
                "gripper_x, \u{e4}\u{4e2d} px",
                "gripper_x, \u{e4}\u{4e2d} px",
            ),
            (
                "\u{1b}[2J\u{1b}]0;title\u{7}",
                "\\u001b[2J\\u001b]0;title\\u0007",
            ),
            (
                "\u{9b}31m a\r\nb\tc\u{7f}",
                "\\u009b31m a\\u000d\\u000ab\\u0009c\\u007f",
            ),
            ("model\u{202e}mtp.", "model\\u202emtp."),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable_lines("a\n\u{1b}[1mb\n"), "a\n\\u001b[1mb\n");
    }
}
