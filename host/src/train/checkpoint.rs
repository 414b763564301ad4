//! A run on disk: `checkpoint-<step>.safetensors` in its folder, each written whole, the last two kept.
//!
//! The header's `__metadata__` holds a [`Header`] as JSON under `pusht_checkpoint`; the tensors are the flat
//! vectors of a [`State`].

use super::learner::State;
use super::trainer::Settings;
use crate::errln;
use crate::output::write_whole;
use crate::regular_file;
use anyhow::{Context, Result, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const METADATA_KEY: &str = "pusht_checkpoint";
const PREFIX: &str = "checkpoint-";
const SUFFIX: &str = ".safetensors";

/// How many checkpoints a folder keeps.
const N_KEPT: usize = 2;

/// What a checkpoint says about its run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Steps done.
    pub step: u64,
    /// CRC-32 of each set of demonstrations.
    pub data_crc32: Vec<u32>,
    /// The run's settings.
    pub settings: Settings,
}

/// Writes a checkpoint into `folder` and removes those older than the last two.
///
/// # Errors
/// If a value of the state is not finite, or the folder can't be written.
pub fn save(folder: &Path, header: &Header, state: &State) -> Result<()> {
    state.check()?;
    let vectors = [
        ("parameters", &state.parameters),
        ("ema", &state.ema),
        ("moment_1", &state.moment_1),
        ("moment_2", &state.moment_2),
    ];
    let bytes = vectors.map(|(name, values)| {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        (name, bytes)
    });
    let views = (bytes.iter())
        .map(|(name, bytes)| {
            Ok((
                *name,
                TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)?,
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), serde_json::to_string(header)?)]);
    let path = folder.join(format!("{PREFIX}{:08}{SUFFIX}", header.step));
    write_whole(&path, &safetensors::serialize(views, Some(metadata))?)?;
    let mut all = list(folder)?;
    all.truncate(all.len().saturating_sub(N_KEPT));
    for old in all {
        fs::remove_file(&old).with_context(|| format!("{}: can't remove", old.display()))?;
    }
    Ok(())
}

/// Whether `folder` has a checkpoint, whole or not.
///
/// # Errors
/// If the folder can't be read.
pub fn exists(folder: &Path) -> Result<bool> {
    Ok(!list(folder)?.is_empty())
}

/// The newest whole checkpoint in `folder`, if there is any checkpoint. Newer ones that are damaged
/// are named on standard error.
///
/// # Errors
/// If none is whole; the error names the newest.
pub fn load_newest(folder: &Path) -> Result<Option<(Header, State)>> {
    let mut damaged = Vec::new();
    for path in list(folder)?.into_iter().rev() {
        match load(&path) {
            Ok(checkpoint) => {
                for error in damaged {
                    errln!("warning: {error:#}; going on from {}", path.display());
                }
                return Ok(Some(checkpoint));
            }
            Err(error) => damaged.push(error),
        }
    }
    match damaged.into_iter().next() {
        Some(newest) => Err(newest.context("no checkpoint is whole; of the newest")),
        None => Ok(None),
    }
}

fn load(path: &Path) -> Result<(Header, State)> {
    let checkpoint = parse(&regular_file::read(path)?);
    checkpoint.with_context(|| format!("{}: not a checkpoint", path.display()))
}

/// The checkpoints in `folder`, oldest first; none if there is no folder.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let context = || format!("{}: can't list", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        let name = entry.with_context(context)?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            paths.push(folder.join(&*name));
        }
    }
    // Steps have leading zeros.
    paths.sort();
    Ok(paths)
}

fn parse(bytes: &[u8]) -> Result<(Header, State)> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)?;
    let file = SafeTensors::deserialize(bytes)?;
    let json = (metadata.metadata().as_ref())
        .and_then(|entries| entries.get(METADATA_KEY))
        .with_context(|| format!("its metadata has no {METADATA_KEY}"))?;
    let header: Header =
        serde_json::from_str(json).with_context(|| format!("metadata {METADATA_KEY}"))?;
    let vector = |name: &str| -> Result<Vec<f32>> {
        let view = file
            .tensor(name)
            .with_context(|| format!("tensor {name}"))?;
        ensure!(view.dtype() == Dtype::F32, "tensor {name} is not F32");
        let chunks = view.data().as_chunks().0.iter();
        Ok(chunks.map(|b| f32::from_le_bytes(*b)).collect())
    };
    let state = State {
        step: header.step,
        parameters: vector("parameters")?,
        ema: vector("ema")?,
        moment_1: vector("moment_1")?,
        moment_2: vector("moment_2")?,
    };
    state.check()?;
    Ok((header, state))
}
