//! Committed digests of the integer policy's plans: equal on every machine and in every build.

use pusht_core::quant::{Model, selftest};

/// Model files, and the digest of eight plans of each.
const PLANS: [(&str, &[u8], u64); 5] = [
    (
        "tiny",
        include_bytes!("golden/integer/tiny.ptm"),
        0x8241_ec22_4879_a19c,
    ),
    (
        "inpainting",
        include_bytes!("golden/integer/inpainting.ptm"),
        0xdc76_ff25_9cc7_e6b6,
    ),
    (
        "mixed",
        include_bytes!("golden/integer/mixed.ptm"),
        0x9950_f0d8_d681_3962,
    ),
    (
        "pusht",
        include_bytes!("../models/pusht.ptm"),
        0xd41f_21ad_07a1_308b,
    ),
    (
        "pusht-small",
        include_bytes!("../models/pusht-small.ptm"),
        0x6ba7_3889_8f76_e993,
    ),
];

#[test]
fn plans_are_the_same_bits_everywhere() {
    for (name, file, expected) in PLANS {
        let model = Model::parse(file).unwrap();
        let digest = selftest(&model, &mut vec![0; model.scratch_len()], 8).unwrap();
        assert_eq!(digest, expected, "{name}: {digest:#018x}");
    }
}
