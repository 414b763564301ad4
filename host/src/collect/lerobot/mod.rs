//! A recording as a LeRobot dataset (v3.0): tables in Parquet, and what describes them.
//!
//! ```text
//! recording (Zarr) -> frames: features of an episode -> table: data/    \
//!                                                    -> stats, episodes  > meta/
//! ```
//! The dataset is written beside the old one and put in its place at the end.

mod frames;
mod pictures;
mod stats;
mod table;

use super::RECORDING;
use super::column::write_json;
use crate::data::lerobot::{INFO, VERSION, episode_column};
use crate::data::reader::zarr;
use crate::data::{Demonstrations, Episode};
use crate::kill;
use crate::output::sync_all;
use anyhow::{Context, Result};
use frames::{FEATURES, FPS, Frames};
use parquet::data_type::ByteArray;
use parquet::file::metadata::KeyValue;
use pictures::{IMAGE, Pictures};
use serde_json::{Value, json};
use stats::{PictureStats, Stats};
use std::path::Path;
use table::{Field, TableWriter, Values};

/// Folder of a dataset that is not complete yet.
const UNFINISHED: &str = "unfinished";
/// The task of every episode.
const TASK: &str = "Push the T-shaped block onto the T-shaped target.";
/// Bytes of a file of frames after which the next begins; LeRobot's default.
const FILE_BYTES: usize = 100 << 20;
/// Files per folder; LeRobot's default.
const FILES_PER_CHUNK: usize = 1000;

/// Writes the recording in `folder` as a LeRobot dataset into `folder`.
///
/// # Errors
/// If the recording has no episode, or a file can't be read or written. The recording remains.
pub fn write(folder: &Path) -> Result<()> {
    let recording = folder.join(RECORDING);
    let demonstrations = Demonstrations::open(&recording)?;
    let store = zarr::open_store(&recording)?;
    let coverage = zarr::read_rows::<1>(&store, "data/next_coverage")?;
    let unfinished = folder.join(UNFINISHED);
    remove(&unfinished)?;
    Dataset {
        folder: &unfinished,
        episodes: &demonstrations.episodes,
        coverage: &coverage,
        pictures: Pictures::open(&recording)?,
    }
    .write()?;
    sync_all(&unfinished)?;
    for part in ["data", "meta"] {
        let to = folder.join(part);
        remove(&to)?;
        std::fs::rename(unfinished.join(part), &to).with_context(|| to.display().to_string())?;
        kill::point();
    }
    remove(&unfinished)?;
    sync_all(folder)
}

fn remove(folder: &Path) -> Result<()> {
    kill::point();
    let removed = match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{}: can't remove", folder.display()))
        }
        _ => Ok(()),
    };
    kill::point();
    removed
}

/// A dataset that is being written.
struct Dataset<'d> {
    folder: &'d Path,
    episodes: &'d [Episode],
    coverage: &'d [[f64; 1]],
    pictures: Option<Pictures<'d>>,
}

/// Number of a file and of its folder.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    chunk: usize,
    file: usize,
}

impl Place {
    fn next(self) -> Self {
        match self.file + 1 {
            FILES_PER_CHUNK => Self {
                chunk: self.chunk + 1,
                file: 0,
            },
            file => Self { file, ..self },
        }
    }

    fn path(self) -> String {
        format!("chunk-{:03}/file-{:03}.parquet", self.chunk, self.file)
    }
}

impl Dataset<'_> {
    fn write(&self) -> Result<()> {
        let mut all: Vec<Vec<f64>> = vec![Vec::new(); FEATURES.len()];
        let mut files = Files {
            folder: self.folder,
            place: Place::default(),
            data: None,
            episodes: Vec::new(),
        };
        let mut all_pictures = PictureStats::default();
        let mut start = 0;
        for (number, episode) in self.episodes.iter().enumerate() {
            let rows = start..start + episode.states.len();
            start = rows.end;
            let frames = Frames {
                episode,
                next_coverage: &self.coverage[rows.clone()],
                number,
                rows,
            };
            let mut columns = Vec::new();
            let mut statistics = Vec::new();
            for (feature, all) in FEATURES.iter().zip(&mut all) {
                let values = feature.values(&frames)?;
                let (column, stats) = feature.column(&values);
                columns.push(column);
                statistics.extend(stats.columns(feature.name));
                all.extend(values);
            }
            if let Some(pictures) = &self.pictures {
                let (column, stats) = pictures.column(frames.rows.clone())?;
                columns.push(column);
                statistics.extend(stats.stats().columns(IMAGE));
                all_pictures.add(&stats);
            }
            files.add(&frames, &columns, statistics)?;
        }
        files.finish()?;
        let stats = FEATURES.iter().zip(&all).map(|(feature, values)| {
            let stats = Stats::of(values, feature.dim).to_json();
            (feature.name.to_owned(), stats)
        });
        let pictures = self.pictures.is_some();
        let pictures = pictures.then(|| (IMAGE.to_owned(), all_pictures.stats().to_json()));
        let stats = Value::Object(stats.chain(pictures).collect());
        self.write_tasks()?;
        write_json(&self.folder.join("meta/stats.json"), stats)?;
        write_json(&self.folder.join(INFO), self.info(start))
    }

    fn info(&self, n_frames: usize) -> Value {
        let features = FEATURES
            .iter()
            .map(|feature| (feature.name.to_owned(), feature.to_json()));
        let pictures = self.pictures.as_ref();
        let pictures = pictures.map(|_| (IMAGE.to_owned(), Pictures::feature()));
        json!({
            "codebase_version": VERSION,
            "robot_type": null,
            "fps": FPS,
            "total_episodes": self.episodes.len(),
            "total_frames": n_frames,
            "total_tasks": 1,
            "chunks_size": FILES_PER_CHUNK,
            "data_files_size_in_mb": FILE_BYTES >> 20,
            "video_files_size_in_mb": 200,
            "splits": { "train": format!("0:{}", self.episodes.len()) },
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": null,
            "features": Value::Object(features.chain(pictures).collect()),
        })
    }

    /// The table of tasks, which pandas reads with the task's text as its index.
    fn write_tasks(&self) -> Result<()> {
        let column = |name: &str, pandas: &str, numpy: &str| {
            json!({
                "name": name, "field_name": name, "pandas_type": pandas, "numpy_type": numpy,
                "metadata": null,
            })
        };
        let pandas = json!({
            "index_columns": ["task"],
            "column_indexes": [{
                "name": null, "field_name": null, "pandas_type": "unicode",
                "numpy_type": "object", "metadata": { "encoding": "UTF-8" },
            }],
            "columns": [
                column("task_index", "int64", "int64"),
                column("task", "unicode", "object"),
            ],
        });
        let fields = [
            Field::scalar("task_index", Values::I64(vec![0])),
            Field::scalar("task", Values::Text(vec![ByteArray::from(TASK)])),
        ];
        let metadata = vec![KeyValue::new("pandas".into(), pandas.to_string())];
        let path = self.folder.join("meta/tasks.parquet");
        let mut table = TableWriter::create(&path, &fields, metadata)?;
        table.write(&fields)?;
        table.finish()
    }
}

/// Files of frames, one row group per episode, and the table of episodes.
struct Files<'d> {
    folder: &'d Path,
    /// Place of the file of frames.
    place: Place,
    data: Option<TableWriter>,
    /// Columns of the table of episodes.
    episodes: Vec<Field>,
}

impl Files<'_> {
    /// Writes an episode: its columns, and a row with its place and its statistics.
    fn add(
        &mut self,
        frames: &Frames<'_>,
        columns: &[Field],
        statistics: Vec<Field>,
    ) -> Result<()> {
        if let Some(full) = self.data.take_if(|data| data.n_bytes() >= FILE_BYTES) {
            full.finish()?;
            self.place = self.place.next();
        }
        if self.data.is_none() {
            let path = self.folder.join("data").join(self.place.path());
            self.data = Some(TableWriter::create(&path, columns, Vec::new())?);
        }
        if let Some(data) = &mut self.data {
            data.write(columns)?;
        }
        let row = episode_row(frames, self.place, statistics);
        match self.episodes.is_empty() {
            true => self.episodes = row,
            false => {
                let columns = self.episodes.iter_mut().zip(row);
                columns.for_each(|(column, row)| column.append(row));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        if let Some(data) = self.data {
            data.finish()?;
        }
        let path = self
            .folder
            .join("meta/episodes")
            .join(Place::default().path());
        let mut table = TableWriter::create(&path, &self.episodes, Vec::new())?;
        table.write(&self.episodes)?;
        table.finish()
    }
}

/// Row of `meta/episodes`.
fn episode_row(frames: &Frames<'_>, place: Place, statistics: Vec<Field>) -> Vec<Field> {
    let number = |name: &str, value: usize| Field::scalar(name, Values::I64(vec![value as i64]));
    let flag = |name: &str, value: bool| Field::scalar(name, Values::Bool(vec![value]));
    let Frames { episode, rows, .. } = frames;
    let seed = episode.seed.map_or(-1, |seed| seed as i64);
    let mut row = vec![
        number("episode_index", frames.number),
        Field::list("tasks", 1, Values::Text(vec![ByteArray::from(TASK)])),
        number("length", rows.len()),
        number("data/chunk_index", place.chunk),
        number("data/file_index", place.file),
        number("dataset_from_index", rows.start),
        number("dataset_to_index", rows.end),
        number("meta/episodes/chunk_index", 0),
        number("meta/episodes/file_index", 0),
        flag(episode_column::CONTINUES, episode.continues),
        flag(episode_column::CUT_OFF, episode.cut_off),
        Field::scalar(episode_column::SEED, Values::I64(vec![seed])),
    ];
    row.extend(statistics);
    row
}
