//! Any checkpoint: `pusht import` refuses it, or makes a policy that is read back as it was.
//!
//! An input that is no file of PyTorch is taken as the pickle of one, and stored in an archive with
//! correct checksums.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pusht_fuzz::{Place, limit_memory};
use pusht_host::import::{self, Options};
use pusht_host::policy_file::{self, Observation};
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Bytes of the one storage that a pickle can refer to, `data/0`: more than the seeds' networks.
const STORAGE_LEN: usize = 8192;

fuzz_target!(init: limit_memory(), |input: &[u8]| {
    thread_local!(static PLACE: Place = Place::default());
    let is_whole = input.starts_with(b"PK") || input.starts_with(b"\x80\x02\x8a\x0a");
    let bytes = match is_whole {
        true => input.to_vec(),
        false => archive(input),
    };
    let path = PLACE.with(|place| place.file("policy.ckpt", &bytes));
    let options = Options {
        observation: Some(Observation::State),
        ..Options::default()
    };
    if let Ok(imported) = import::read(&path, &options) {
        let bytes = policy_file::to_bytes(&imported.config, &imported.tensors);
        let read = policy_file::parse(&bytes.expect("an imported policy can be written"));
        let (config, tensors) = read.expect("what is written is read");
        assert_eq!((config, tensors), (imported.config, imported.tensors));
    }
});

/// The pickle in an archive as `torch.save` writes it.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", &[0; STORAGE_LEN])] {
        zip.start_file(name, stored).expect("a name");
        zip.write_all(bytes).expect("room in memory");
    }
    zip.finish().expect("room in memory").into_inner()
}
