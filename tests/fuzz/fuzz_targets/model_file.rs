//! Any model file: it is refused, or every plan with it ends.
//!
//! The input changes a small model that is right (of 8 bits, or also of 4), and makes length and checksum right again, so that what lies behind the checksum is reached.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pusht_core::noise::NoiseSource;
use pusht_core::quant::{IntPolicy, Model};
use pusht_fuzz::limit_memory;

const TINY: &[u8] = include_bytes!("../../golden/integer/tiny.ptm");
const MIXED: &[u8] = include_bytes!("../../golden/integer/mixed.ptm");
const HEADER_SIZE: usize = 16;
/// Passes more than this take too long to be of use here.
const MAX_PASSES: usize = 20;
/// Likewise more working memory, words of 8 bytes: all that the tensors of a small network need.
const MAX_SCRATCH_LEN: usize = 1 << 16;

#[derive(Arbitrary, Debug)]
struct Input {
    /// Bytes as they are, if not changes of a small model.
    raw: Option<Vec<u8>>,
    changes: Vec<Change>,
    /// Bytes kept.
    kept: u16,
    is_sealed: bool,
    observations: [i32; 8],
    seed: u64,
}

#[derive(Arbitrary, Debug)]
enum Change {
    /// Of a byte.
    Byte(u16, u8),
    /// Of a word in the first part, where the sizes are.
    Word(u8, u32),
    /// A word taken out or doubled.
    Out(u16),
    Twice(u16),
}

fuzz_target!(init: limit_memory(), |input: Input| {
    let bytes = changed(&input);
    let Ok(model) = Model::parse(&bytes) else {
        return;
    };
    if model.n_passes() > MAX_PASSES || model.scratch_len() > MAX_SCRATCH_LEN {
        return;
    }
    let shape = model.shape();
    let window = input.observations.iter().copied().cycle();
    let window: Vec<i32> = window.take(shape.window_len()).collect();
    let mut scratch = vec![0; model.scratch_len()];
    let mut policy = IntPolicy::new(&model, &mut scratch).expect("as long as the model says");
    let mut chunk = vec![0; shape.chunk_len()];
    policy
        .plan_fixed(&window, &mut NoiseSource::new(input.seed), &mut chunk)
        .expect("the lengths are the model's");
});

fn changed(input: &Input) -> Vec<u8> {
    let model = if input.seed % 4 == 3 { MIXED } else { TINY };
    let mut bytes = input.raw.clone().unwrap_or_else(|| model.to_vec());
    for change in &input.changes {
        let at = |place: usize| place % TINY.len();
        match *change {
            Change::Byte(place, value) => {
                if let Some(byte) = bytes.get_mut(at(place.into())) {
                    *byte = value;
                }
            }
            Change::Word(place, value) => {
                let start = HEADER_SIZE + 4 * usize::from(place);
                if let Some(word) = bytes.get_mut(start..start + 4) {
                    word.copy_from_slice(&value.to_le_bytes());
                }
            }
            Change::Out(place) => {
                let start = at(place.into()) & !3;
                if start + 4 <= bytes.len() {
                    bytes.drain(start..start + 4);
                }
            }
            Change::Twice(place) => {
                let start = at(place.into()) & !3;
                if let Some(word) = bytes.get(start..start + 4).map(<[u8]>::to_vec) {
                    bytes.splice(start..start, word);
                }
            }
        }
    }
    if input.kept > 0 {
        bytes.truncate(usize::from(input.kept));
    }
    if input.is_sealed && bytes.len() >= HEADER_SIZE + 4 {
        seal(&mut bytes);
    }
    bytes
}

/// Makes length and checksum right.
fn seal(bytes: &mut [u8]) {
    let (end, len) = (bytes.len() - 4, bytes.len() as u32);
    bytes[12..16].copy_from_slice(&len.to_le_bytes());
    let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
}
