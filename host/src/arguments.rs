//! Values of arguments, each within bounds that the error names.

use anyhow::{Context, Result, ensure};
use std::ops::{Range, RangeInclusive};

/// Most seeds of a range.
pub const MAX_SEEDS: u64 = 1_000_000;
/// First seed that legacy seeding does not take.
const LEGACY_END: u64 = 1 << 32;

/// Parser of a whole number within `bounds`, which `T` can hold.
pub fn whole<T: TryFrom<u64>>(
    bounds: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T> + Clone + Send + Sync + 'static {
    move |text| {
        let value = text.parse().ok().filter(|value| bounds.contains(value));
        value
            .and_then(|value| T::try_from(value).ok())
            .with_context(|| {
                let (least, most) = (bounds.start(), bounds.end());
                format!("not a whole number from {least} to {most}")
            })
    }
}

/// Parser of a number within `bounds`; NaN is in none.
pub fn number(
    bounds: RangeInclusive<f64>,
) -> impl Fn(&str) -> Result<f64> + Clone + Send + Sync + 'static {
    move |text| {
        let value = text.parse().ok();
        value
            .filter(|value| bounds.contains(value))
            .with_context(|| format!("not a number from {} to {}", bounds.start(), bounds.end()))
    }
}

/// Parser of a share, 0 to 1.
pub fn share() -> impl Fn(&str) -> Result<f64> + Clone + Send + Sync + 'static {
    number(0.0..=1.0)
}

/// Parses a seed.
///
/// # Errors
/// If it is no whole number of 64 bits.
pub fn seed(text: &str) -> Result<u64> {
    let seed = text.parse::<u64>();
    seed.with_context(|| format!("`{text}` is not a seed from 0 to {}", u64::MAX))
}

/// Parses a range of seeds `A..B`, B excluded.
///
/// # Errors
/// If the text has another form, or the range is empty or has more than [`MAX_SEEDS`].
pub fn seeds(text: &str) -> Result<Range<u64>> {
    let (from, to) = text.split_once("..").context("seeds are written A..B")?;
    let range = seed(from)?..seed(to)?;
    ensure!(
        !range.is_empty(),
        "{text} holds no seed: B is excluded and must be larger than A"
    );
    let n_seeds = range.end - range.start;
    ensure!(
        n_seeds <= MAX_SEEDS,
        "{text} holds {n_seeds} seeds; 1 to {MAX_SEEDS} are supported"
    );
    Ok(range)
}

/// As [`seeds`], for legacy seeding.
///
/// # Errors
/// As [`seeds`], and if a seed is larger than 4294967295.
pub fn legacy_seeds(text: &str) -> Result<Range<u64>> {
    let range = seeds(text)?;
    ensure!(
        range.end <= LEGACY_END,
        "{text}: legacy seeds end at {}",
        LEGACY_END - 1
    );
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_half_open_range() {
        assert_eq!(seeds("3..5").unwrap(), 3..5);
        let last = u64::MAX - 1..u64::MAX;
        assert_eq!(
            seeds("18446744073709551614..18446744073709551615").unwrap(),
            last
        );
        for bad in [
            "3",
            "5..3",
            "3..3",
            "a..b",
            "1...3",
            "-1..3",
            "0..18446744073709551616",
        ] {
            assert!(seeds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_of_seeds_has_as_many_as_can_be_played() {
        assert_eq!(seeds("7..1000007").unwrap().count(), 1_000_000);
        for bad in ["0..1000001", "0..18446744073709551615"] {
            let message = seeds(bad).unwrap_err().to_string();
            assert!(message.contains("1 to 1000000 are supported"), "{message}");
        }
        assert_eq!(legacy_seeds("4294967295..4294967296").unwrap().count(), 1);
        let message = legacy_seeds("4294967295..4294967297").unwrap_err();
        assert!(
            message.to_string().contains("end at 4294967295"),
            "{message}"
        );
    }

    #[test]
    fn a_whole_number_is_within_its_bounds() {
        let parse = whole::<u16>(1..=2048);
        assert_eq!(["1", "2048"].map(|good| parse(good).unwrap()), [1, 2048]);
        for bad in [
            "0",
            "2049",
            "-1",
            "65537",
            "18446744073709551617",
            "1.5",
            "",
            "one",
        ] {
            let message = parse(bad).unwrap_err().to_string();
            assert_eq!(message, "not a whole number from 1 to 2048", "{bad}");
        }
    }

    #[test]
    fn a_number_is_finite_and_within_its_bounds() {
        let parse = number(0.5..=2.0);
        for good in ["0.5", "2", "1e0"] {
            parse(good).unwrap();
        }
        for bad in ["nan", "inf", "-inf", "0.499", "2.1", "1e999", "", "one"] {
            let message = parse(bad).unwrap_err().to_string();
            assert_eq!(message, "not a number from 0.5 to 2", "{bad}");
        }
    }
}
