//! Claims in `rounding.smt2`, to which the solver z3 looks for counterexamples, and the comparison
//! of the definitions there with the code.

use super::std::format;
use super::std::io::Write;
use super::std::process::{Command, Stdio};
use super::std::string::String;
use super::std::vec::Vec;
use crate::quant::kernels::linear::tests::Lcg;
use crate::quant::kernels::mish::mish_in_range;
use crate::quant::kernels::norm::epilogue::{Epilogue, EpilogueShifts, Modulation, half};
use crate::quant::kernels::norm::factors::{Channel, gain_and_beta, gain_and_beta_by_halves};
use crate::quant::kernels::norm::kernel::NormKernel;
use crate::quant::kernels::norm::portable::Portable;
use crate::quant::kernels::rounding::{
    multiply_shift, multiply_shift_wide, product_by_halves, round_to_i16, rounding_shift_right,
    rounding_shift_right_i32, saturate_i16, saturate_i32, upper_word, upper_word_by_halves,
};

const CLAIMS: &str = include_str!("rounding.smt2");
/// Random arguments of each definition.
const CASES: usize = 300;

/// What z3 prints for `script`; nothing without z3.
fn answers(script: &str) -> Option<String> {
    let solver = Command::new("z3")
        .arg("-in")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut solver) = solver else {
        super::std::println!("skipped: the solver z3 is not there (apt-get install z3)");
        return None;
    };
    let mut input = solver.stdin.take().unwrap();
    input.write_all(script.as_bytes()).unwrap();
    drop(input);
    let output = solver.wait_with_output().unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
#[cfg_attr(debug_assertions, ignore = "in release builds: `cargo verify release`")]
fn no_counterexample_to_a_claim_about_rounding_exists() {
    let Some(answers) = answers(CLAIMS) else {
        return;
    };
    let lines: Vec<&str> = answers.lines().collect();
    let (claims, rest) = lines.as_chunks::<2>();
    assert!(rest.is_empty(), "{answers}");
    assert_eq!(claims.len(), CLAIMS.matches("(echo ").count());
    for [claim, answer] in claims {
        assert_eq!(*answer, "unsat", "{claim}");
    }
}

/// Each change makes one claim false.
#[test]
#[cfg_attr(debug_assertions, ignore = "in release builds: `cargo verify release`")]
fn a_counterexample_is_found_where_the_code_or_a_bound_is_wrong() {
    for (from, to, claim) in [
        ("(bvlshr (bvshl one_64 s) one_64)", "(_ bv0 64)", 0),
        (
            "(bvule k (_ bv30 32)) (up_to",
            "(bvule k (_ bv31 32)) (up_to",
            1,
        ),
        ("(bvugt shift (_ bv32 64))", "(bvugt shift (_ bv31 64))", 3),
        (
            "(bvadd lower (_ bv16384 32))",
            "(bvadd lower (_ bv16383 32))",
            10,
        ),
    ] {
        let claims: Vec<&str> = CLAIMS.split("(echo ").collect();
        let script = format!("{}(echo {}", claims[0], claims[1 + claim]);
        assert!(script.contains(from), "{from}");
        let Some(answers) = answers(&script.replace(from, to)) else {
            return;
        };
        assert!(answers.ends_with("\nsat\n"), "{from}: {answers}");
    }
}

/// Calls of the definitions with their results by the code.
struct Calls {
    random: Lcg,
    /// SMT-LIB, bits of the result.
    calls: Vec<(String, u64)>,
}

impl Calls {
    /// An argument: any number, or one near the end of a range.
    fn number(&mut self) -> i64 {
        let word = (self.random.next() << 33) ^ (self.random.next() << 11) ^ self.random.next();
        let magnitude = word >> (self.random.next() % 64);
        match self.random.next() % 4 {
            0 => (1_i64 << (self.random.next() % 63)).wrapping_add(magnitude % 3),
            1 => (-1_i64 << (self.random.next() % 63)).wrapping_add(magnitude % 3),
            _ => magnitude,
        }
    }

    fn up_to(&mut self, most: i64) -> i64 {
        self.number() % (most + 1)
    }

    fn i32(&mut self) -> i32 {
        self.number() as i32
    }

    fn shift(&mut self, least: i64, most: i64) -> u32 {
        (least + self.random.next() % (most + 1 - least)) as u32
    }

    /// Arguments are given as value and number of bits.
    fn add(&mut self, name: &str, arguments: &[(i64, u32)], result: impl Into<i64>) {
        let bits = |(value, n_bits): &(i64, u32)| {
            let value = *value as u64 & (u64::MAX >> (64 - n_bits));
            format!(" (_ bv{value} {n_bits})")
        };
        let arguments: String = arguments.iter().map(bits).collect();
        let call = format!("(simplify ({name}{arguments}))");
        self.calls.push((call, result.into() as u64));
    }
}

fn shifts(calls: &mut Calls) {
    let (value, shift) = (calls.up_to(1 << 62), calls.shift(0, 62));
    calls.add(
        "rounding_shift_right",
        &[(value, 64), (shift.into(), 64)],
        rounding_shift_right(value, shift),
    );
    let (value, shift) = (calls.up_to(1 << 30) as i32, calls.shift(0, 30));
    calls.add(
        "rounding_shift_right_i32",
        &[(value.into(), 32), (shift.into(), 32)],
        rounding_shift_right_i32(value, shift),
    );
    let value = calls.number();
    calls.add("saturate_i16", &[(value, 64)], saturate_i16(value));
    calls.add("saturate_i32", &[(value, 64)], saturate_i32(value));
    let (value, shift) = (calls.i32(), calls.shift(0, 16));
    calls.add(
        "round_to_i16",
        &[(value.into(), 32), (shift.into(), 32)],
        round_to_i16(value, shift),
    );
}

fn products(calls: &mut Calls) {
    let (a, b, shift) = (calls.i32(), calls.i32(), calls.shift(0, 62));
    calls.add(
        "multiply_shift",
        &[(a.into(), 32), (b.into(), 32), (shift.into(), 64)],
        multiply_shift(a, b, shift),
    );
    let (wide, shift) = (calls.up_to(1 << 34), calls.shift(16, 62));
    calls.add(
        "multiply_shift_wide",
        &[(wide, 64), (b.into(), 32), (shift.into(), 64)],
        multiply_shift_wide(wide, b, shift),
    );
    calls.add(
        "product_by_halves",
        &[(a.into(), 32), (b.into(), 32)],
        product_by_halves(a as u32, b as u32) as i64,
    );
    for is_rounded in [false, true] {
        let arguments = [(a.into(), 32), (b.into(), 32), (is_rounded.into(), 32)];
        calls.add("upper_word", &arguments, upper_word(a, b, is_rounded));
        let result = upper_word_by_halves(a, b, is_rounded);
        calls.add("upper_word_by_halves", &arguments, result);
    }
    let gamma = calls.up_to(0x7fff) as i32;
    let mantissa = (1 << 30) + calls.up_to((1 << 30) - 1).unsigned_abs() as i32;
    let mut parameters = [0; 8];
    parameters[..4].copy_from_slice(&gamma.to_le_bytes());
    let arguments = [(gamma.into(), 32), (mantissa.into(), 32)];
    let (gain, _) = gain_and_beta(&parameters, mantissa);
    calls.add("gain", &arguments, gain);
    let (gain, _) = gain_and_beta_by_halves(&parameters, mantissa);
    calls.add("gain_by_halves", &arguments, gain);
}

fn epilogues(calls: &mut Calls) {
    let beta_q16 = calls.up_to((1 << 20) - 1) as i32;
    let y_q16 = mish_in_range(beta_q16);
    let old = calls.number() as i16;
    let shares = [(); 4].map(|()| calls.number() as i16);
    let (scale, bias) = (
        i32::from(shares[0]) + i32::from(shares[2]),
        i32::from(shares[1]) + i32::from(shares[3]),
    );
    let shift = calls.shift(8, 30);
    let reference = Epilogue::Modulate(Modulation {
        step: &[shares[0].to_le_bytes(), shares[1].to_le_bytes()],
        observation: &shares[2..],
        n_scales: 1,
        exponent: 0,
        shift,
    });
    let by_kernel = |shifts, scale: i32, bias| {
        let channel = Channel {
            n: 0,
            minus_sum: 0,
            gain: 0,
            beta_q16,
            scale_q15: scale << 15,
            bias,
        };
        let mut out = [old];
        let mut kernel = Portable::new(1, 1, shifts).unwrap();
        kernel.activate(&[0], &mut out, 0, &[channel]);
        out[0]
    };
    let scaled = i64::from(scale) * i64::from(y_q16);
    let arguments = [(scaled, 64), (bias.into(), 32), (shift.into(), 64)];
    let result = reference.apply(0, y_q16, old);
    calls.add("modulate_reference", &arguments, result);
    let shifts = reference.shifts().unwrap();
    let EpilogueShifts::Modulate { up, shift } = shifts else {
        unreachable!("it is FiLM");
    };
    let result = by_kernel(shifts, scale, (bias << up) + half(shift));
    calls.add("modulate_kernel", &arguments, result);

    let (up, down) = (calls.shift(0, 13), calls.shift(0, 16));
    let arguments = [
        (y_q16.into(), 32),
        (old.into(), 16),
        (up.into(), 32),
        (down.into(), 32),
    ];
    let result = Epilogue::Add { up, down }.apply(0, y_q16, old);
    calls.add("add_reference", &arguments, result);
    let result = by_kernel(EpilogueShifts::Add { up, down }, 0, 0);
    calls.add("add_kernel", &arguments, result);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "in release builds: `cargo verify release`")]
fn the_definitions_in_the_claims_are_the_code() {
    let mut calls = Calls {
        random: Lcg(3),
        calls: Vec::new(),
    };
    for _ in 0..CASES {
        shifts(&mut calls);
        products(&mut calls);
        epilogues(&mut calls);
    }
    let (definitions, _) = CLAIMS.split_once("(echo ").unwrap();
    let lines: Vec<&str> = calls.calls.iter().map(|(call, _)| call.as_str()).collect();
    let Some(answers) = answers(&format!("{definitions}\n{}\n", lines.join("\n"))) else {
        return;
    };
    let answers: Vec<&str> = answers.lines().collect();
    assert_eq!(answers.len(), calls.calls.len(), "{}", answers[0]);
    for ((call, result), answer) in calls.calls.iter().zip(answers) {
        let digits = answer
            .strip_prefix("#x")
            .unwrap_or_else(|| panic!("{call}: {answer}"));
        let mask = u64::MAX >> (64 - 4 * digits.len());
        let got = u64::from_str_radix(digits, 16).unwrap();
        assert_eq!(got, result & mask, "{call}");
    }
}
