//! Routines with at most 2^32 inputs, tried with every one in release builds: `cargo verify
//! release`. Debug builds try a sample.

use super::std::ops::Range;
use super::std::thread;
use super::std::vec::Vec;
use crate::quant::format::values::ObservationValue;
use crate::quant::kernels::mish::{FRACTION_BITS, RANGE, SEGMENTS, mish_q16};
use crate::quant::kernels::rsqrt::{START_Q31, rsqrt};

/// Distance of the inputs that are tried: a prime where a sample has to do.
const STEP: usize = if cfg!(miri) {
    1_000_000_007
} else if cfg!(debug_assertions) {
    100_003
} else {
    1
};

/// Calls `check` for inputs of `range`, `step` apart, by all cores.
fn sweep(range: Range<i64>, step: usize, check: impl Fn(i64) + Sync) {
    let n_threads = thread::available_parallelism().map_or(1, usize::from) as i64;
    let len = (range.end - range.start + n_threads - 1) / n_threads;
    let check = &check;
    thread::scope(|scope| {
        for start in range.clone().step_by(len as usize) {
            let end = (start + len).min(range.end);
            scope.spawn(move || (start..end).step_by(step).chain([end - 1]).for_each(check));
        }
    });
}

/// A step of [`rsqrt`] in wide numbers: nothing that it takes for 32 bits has more.
fn newton(t_q30: u64, y_q31: u64) -> u64 {
    let square_q31 = (y_q31 * y_q31) >> 31;
    let product_q31 = (t_q30 * square_q31) >> 30;
    let missing_q31 = (1 << 31) - product_q31 as i64;
    let y_q31 = y_q31 as i64 + ((y_q31 as i64 * missing_q31) >> 32);
    let fit = square_q31 < 1 << 32
        && product_q31 < 1 << 32
        && i32::try_from(missing_q31).is_ok()
        && (0..1 << 31).contains(&y_q31);
    assert!(fit, "{t_q30}");
    y_q31 as u64
}

/// Every number is a power of 4 times one of these, up to bits below 2^-30 of it, which change its
/// root by less than 5e-10 of it.
#[test]
fn no_reciprocal_root_overflows_and_each_is_right_to_1e_7() {
    const ONE: u64 = 1 << 62;
    const ERROR: u64 = (1.98e-7 * ONE as f64) as u64;
    sweep(1 << 30..1 << 32, STEP, |t| {
        let t_q30 = t as u64;
        let start = u64::from(START_Q31[(t_q30 >> 25) as usize]);
        let y_q31 = newton(t_q30, newton(t_q30, start));
        let root = rsqrt(t_q30 << 32);
        assert_eq!((u64::from(root.mantissa), root.exponent), (y_q31, 62));
        assert!((1 << 30..=(1 << 31) - 26).contains(&y_q31), "{t}: {y_q31}");
        // `y sqrt(t)` is 1, and its square is off by twice as much.
        let one = ((y_q31 * y_q31) >> 30) * t_q30;
        assert!(
            one.abs_diff(ONE) < ERROR,
            "{t}: off by {}",
            one.abs_diff(ONE)
        );
    });
}

#[test]
fn mish_of_every_number_is_its_line_without_overflow() {
    sweep(i32::MIN.into()..1 << 31, STEP, |x| {
        let x_q16 = x as i32;
        let expected = if (-RANGE << 16..RANGE << 16).contains(&x_q16) {
            let segment = SEGMENTS[(x_q16 >> FRACTION_BITS) as usize % SEGMENTS.len()];
            let (slope, at_zero) = (segment as i16, (segment >> 16) as i16);
            let rounded = (i64::from(slope) * x + (1 << FRACTION_BITS >> 1)) >> FRACTION_BITS;
            rounded + i64::from(at_zero)
        } else {
            x.max(0)
        };
        let got = i64::from(mish_q16(x_q16));
        assert!(
            got == expected && got >= -(1 << 15) && got <= x.max(0) + 1,
            "{x}: {got}"
        );
    });
}

/// Checks [`ObservationValue::to_fixed`] between `fixed` and the number after it: halfway and just
/// beside. As it never falls when its argument rises, no other input has another result than
/// these.
fn check_rounding(value: &ObservationValue, fixed: i64) {
    let [fixed, next] = [fixed, fixed + 1].map(|k| k.clamp(i32::MIN.into(), i32::MAX.into()));
    let halfway = (fixed as f64 + 0.5) / 65536.0;
    let nearest_even = if fixed % 2 == 0 { fixed } else { next };
    for (input, expected) in [
        (halfway.next_down(), fixed),
        (halfway, nearest_even),
        (halfway.next_up(), next),
    ] {
        assert_eq!(i64::from(value.to_fixed(input)), expected, "{input}");
    }
}

/// A value with 16 binary places; others differ by an exact factor.
fn q16() -> ObservationValue {
    let mut table = [0; ObservationValue::SIZE];
    table[0] = 16;
    ObservationValue::read(&table, 0)
}

#[test]
fn a_value_in_fixed_point_is_the_nearest() {
    let value = q16();
    sweep(i32::MIN.into()..1 << 31, STEP.max(1009), |fixed| {
        check_rounding(&value, fixed);
    });
    for bit in 0..31 {
        for beside in -3..=3 {
            check_rounding(&value, (1 << bit) + beside);
            check_rounding(&value, -(1 << bit) + beside);
        }
    }
    for end in [f64::MAX, f64::INFINITY, 32768.0] {
        assert_eq!(
            (value.to_fixed(end), value.to_fixed(-end)),
            (i32::MAX, i32::MIN)
        );
    }
}

#[test]
#[ignore = "every number: `cargo verify sweeps`"]
fn a_value_in_fixed_point_is_the_nearest_for_every_number() {
    let value = q16();
    sweep(i32::MIN.into()..1 << 31, 1, |fixed| {
        check_rounding(&value, fixed)
    });
}

/// The kernels of normalisation: sums of squares, and the shifted distance, though its terms wrap.
#[test]
fn the_largest_groups_of_a_kernel_do_not_overflow() {
    use crate::quant::kernels::norm::group::{Scaled, Sums};
    use crate::quant::kernels::norm::kernel::{LEAST_GAMMA_EXPONENT, MAX_KERNEL_GROUP_LEN};
    use crate::quant::kernels::norm::{MAX_EPS, Norm};
    let mut n_wrapped = 0;
    for (n, value) in [3, 10, 24, 128, MAX_KERNEL_GROUP_LEN]
        .into_iter()
        .flat_map(|n| [i16::MIN, i16::MAX - 1, 300, 2, -1, 0].map(|value| (n, value)))
    {
        for (n_other, other) in [(0, 0), (1, !value), (n / 2, !value), (1, value + 1)] {
            let mut x: Vec<i16> = super::std::vec![value; n];
            x[..n_other].fill(other);
            let sums = Sums::of(&x, 1, 1);
            let sum: i64 = x.iter().map(|x| i64::from(*x)).sum();
            let squares: i64 = x.iter().map(|x| i64::from(*x).pow(2)).sum();
            let variance = (n as i64 * squares - sum * sum) as u64;
            for (eps, gamma_exponent) in [1, 1 << 20, MAX_EPS]
                .into_iter()
                .flat_map(|eps| (LEAST_GAMMA_EXPONENT..17).map(move |gamma| (eps, gamma)))
            {
                let parameters = [0; Norm::PARAMETERS_SIZE];
                let norm = Norm::new(&parameters, 1, gamma_exponent, eps, n).unwrap();
                let Some(scaled) = Scaled::of(norm, n, sums) else {
                    continue;
                };
                let up = 32 - norm.shift(rsqrt(variance + eps));
                for x in &x {
                    let d = (n as i64 * i64::from(*x) - sum) << up;
                    let n_x = scaled.n.wrapping_mul((*x).into());
                    assert_eq!(i64::from(n_x.wrapping_add(scaled.minus_sum)), d);
                    n_wrapped += usize::from(scaled.n.checked_mul((*x).into()).is_none());
                }
            }
        }
    }
    assert!(n_wrapped > 0);
}
