//! What a person played, in the layout of the original recording: a replay buffer of
//! diffusion_policy (`common/replay_buffer.py`) as a Zarr hierarchy, version 2, in an archive.

use crate::zip::Zip;
use wasm_bindgen::prelude::*;

/// Values of a row: the state before the action (agent x, y, block x, y, px; angle, rad), and the
/// action (x, y, px), all in single precision as in the original recording.
const ROW_LEN: usize = 7;
const STATE_LEN: usize = 5;
/// Folder of the hierarchy in the archive.
const ROOT: &str = "pusht_recorded.zarr";

/// A file of episodes that is being written.
#[wasm_bindgen]
#[derive(Debug, Default)]
pub struct Recording {
    rows: Vec<[f32; ROW_LEN]>,
    ends: Vec<i64>,
    seeds: Vec<i64>,
}

#[wasm_bindgen]
impl Recording {
    /// Begins a file.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an episode of `rows`, 7 values each, that began at the start state of `seed`; one
    /// without a row is left out.
    pub fn add(&mut self, rows: &[f32], seed: f64) {
        let (rows, _) = rows.as_chunks::<ROW_LEN>();
        if rows.is_empty() {
            return;
        }
        self.rows.extend(rows);
        self.ends.push(self.rows.len() as i64);
        self.seeds.push(seed as i64);
    }

    /// The file: `pusht replay` and `pusht train --data` read it.
    pub fn file(&self) -> Vec<u8> {
        let mut zip = Zip::default();
        zip.add(&format!("{ROOT}/.zgroup"), GROUP);
        for group in ["data", "meta"] {
            zip.add(&format!("{ROOT}/{group}/.zgroup"), GROUP);
        }
        let columns = |from: usize, to: usize| -> Vec<u8> {
            let values = self.rows.iter().flat_map(|row| &row[from..to]);
            values.flat_map(|value| value.to_le_bytes()).collect()
        };
        let n = self.rows.len();
        let states = columns(0, STATE_LEN);
        array(&mut zip, "data/state", (n, Some(STATE_LEN)), "<f4", &states);
        let actions = columns(STATE_LEN, ROW_LEN);
        let width = Some(ROW_LEN - STATE_LEN);
        array(&mut zip, "data/action", (n, width), "<f4", &actions);
        for (name, values) in [("episode_ends", &self.ends), ("seed", &self.seeds)] {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            array(
                &mut zip,
                &format!("meta/{name}"),
                (values.len(), None),
                "<i8",
                &bytes,
            );
        }
        zip.finish()
    }
}

const GROUP: &[u8] = br#"{"zarr_format":2}"#;

/// Adds an array of one chunk, without compression.
fn array(zip: &mut Zip, name: &str, (n, width): (usize, Option<usize>), dtype: &str, bytes: &[u8]) {
    let (shape, chunk) = match width {
        Some(width) => (format!("[{n},{width}]"), "0.0"),
        None => (format!("[{n}]"), "0"),
    };
    let header = format!(
        r#"{{"zarr_format":2,"shape":{shape},"chunks":{shape},"dtype":"{dtype}","order":"C","fill_value":0,"compressor":null,"filters":null}}"#
    );
    zip.add(&format!("{ROOT}/{name}/.zarray"), header.as_bytes());
    zip.add(&format!("{ROOT}/{name}/{chunk}"), bytes);
}
