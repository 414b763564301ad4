//! Columns of numbers of a table that spans several Parquet files.

use super::pages::CheckedPages;
use super::parquet_files;
use crate::data::reader::bounds::decoded_limit;
use crate::regular_file;
use anyhow::{Context, Result, bail, ensure};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 4096;

/// A table: its files in order.
pub struct Table {
    files: Vec<(PathBuf, SerializedFileReader<File>)>,
    /// Bytes that a column may decode to.
    limit: u64,
}

impl Table {
    /// Opens the files `chunk-*/file-*.parquet` in `folder`.
    ///
    /// # Errors
    /// If there is none, or one is no whole Parquet file.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut stored = 0;
        for path in parquet_files(folder)? {
            let mut open = || -> Result<_> {
                let file = regular_file::open(&path)?;
                stored += file.metadata()?.len();
                Ok(SerializedFileReader::new(file)?)
            };
            let reader = open().with_context(|| path.display().to_string())?;
            files.push((path, reader));
        }
        Ok(Self {
            files,
            limit: decoded_limit(stored),
        })
    }

    /// Rows of all files.
    pub fn n_rows(&self) -> usize {
        let rows = self.files.iter().map(|(_, reader)| n_rows(reader));
        rows.fold(0, usize::saturating_add)
    }

    /// Reads a column of numbers or of lists of numbers, `dim` values per row, as `f64`.
    ///
    /// # Errors
    /// If it is missing, of another type, or has a row with another number of values.
    pub fn column(&self, name: &str, dim: usize) -> Result<Vec<f64>> {
        self.read(name, dim, None)
    }

    /// Reads a column of numbers, with `default` for the rows of files that do not have it.
    ///
    /// # Errors
    /// If it is of another type or damaged.
    pub fn column_or(&self, name: &str, default: f64) -> Result<Vec<f64>> {
        self.read(name, 1, Some(default))
    }

    fn read(&self, name: &str, dim: usize, default: Option<f64>) -> Result<Vec<f64>> {
        let mut values = Vec::new();
        for (path, reader) in &self.files {
            let mut read = || -> Result<()> {
                let leaf = match (leaf(reader, name), default) {
                    (Some(leaf), _) => leaf,
                    (None, None) => bail!("it is missing"),
                    (None, Some(default)) => {
                        let n_rows = values.len() + n_rows(reader);
                        values.resize(n_rows, default);
                        return Ok(());
                    }
                };
                for group in 0..reader.num_row_groups() {
                    let group = reader.get_row_group(group)?;
                    self.read_group(group.as_ref(), leaf, dim, &mut values)?;
                }
                Ok(())
            };
            read().with_context(|| format!("{}: column {name}", path.display()))?;
        }
        ensure!(
            self.n_rows().checked_mul(dim) == Some(values.len()),
            "column {name}: {} values in {} rows of {dim}",
            values.len(),
            self.n_rows()
        );
        Ok(values)
    }

    fn read_group(
        &self,
        group: &dyn RowGroupReader,
        leaf: usize,
        dim: usize,
        values: &mut Vec<f64>,
    ) -> Result<()> {
        let column = group.metadata().column(leaf);
        let place = [
            column.dictionary_page_offset().unwrap_or_default(),
            column.data_page_offset(),
            column.compressed_size(),
        ];
        ensure!(
            place.iter().all(|value| *value >= 0),
            "its place in the file is damaged"
        );
        let size = u64::try_from(column.uncompressed_size()).unwrap_or(u64::MAX);
        ensure!(
            size <= self.limit,
            "it decodes to {size} bytes, more than the {} that are allowed for files of this size",
            self.limit
        );
        let descr = column.column_descr();
        let levels = [descr.max_def_level(), descr.max_rep_level()];
        let mut sink = Sink {
            levels,
            dim,
            most: self.limit / 8,
            values,
        };
        let pages = CheckedPages::new(group.get_column_page_reader(leaf)?);
        match get_column_reader(column.column_descr_ptr(), Box::new(pages)) {
            ColumnReader::BoolColumnReader(c) => sink.drain(c, |v: &bool| f64::from(u8::from(*v))),
            ColumnReader::Int32ColumnReader(c) => sink.drain(c, |v: &i32| f64::from(*v)),
            ColumnReader::Int64ColumnReader(c) => sink.drain(c, |v: &i64| *v as f64),
            ColumnReader::FloatColumnReader(c) => sink.drain(c, |v: &f32| f64::from(*v)),
            ColumnReader::DoubleColumnReader(c) => sink.drain(c, |v: &f64| *v),
            _ => bail!("it is {}; numbers are supported", descr.physical_type()),
        }
    }
}

fn n_rows(reader: &SerializedFileReader<File>) -> usize {
    let n_rows = reader.metadata().file_metadata().num_rows();
    usize::try_from(n_rows).unwrap_or(0)
}

/// Index of the column's values among the leaves of the schema.
fn leaf(reader: &SerializedFileReader<File>, name: &str) -> Option<usize> {
    let schema = reader.metadata().file_metadata().schema_descr();
    (0..schema.num_columns()).find(|&index| schema.get_column_root(index).name() == name)
}

/// Where the values of a column go.
struct Sink<'v> {
    /// Definition and repetition level of a value that is there.
    levels: [i16; 2],
    dim: usize,
    /// Most values of the column.
    most: u64,
    values: &'v mut Vec<f64>,
}

impl Sink<'_> {
    fn drain<T: DataType>(
        &mut self,
        mut column: ColumnReaderImpl<T>,
        convert: fn(&T::T) -> f64,
    ) -> Result<()> {
        let [max_def, max_rep] = self.levels;
        ensure!(
            max_rep <= 1,
            "it has lists of lists; one dimension is supported"
        );
        loop {
            let (mut values, mut defs, mut reps) = (Vec::new(), Vec::new(), Vec::new());
            let (n_rows, n_values, n_levels) =
                column.read_records(BATCH_ROWS, Some(&mut defs), Some(&mut reps), &mut values)?;
            if n_rows == 0 {
                return Ok(());
            }
            // A value that is null, or a list that is empty, has a level and no value.
            let n_whole = if max_def == 0 { n_rows } else { n_levels };
            ensure!(
                n_values == n_whole && n_values == n_rows * self.dim,
                "{n_values} values in {n_rows} rows; {} per row are needed, and none null",
                self.dim
            );
            if max_rep == 1 {
                let begins =
                    |(index, rep): (usize, &i16)| (*rep == 0) == index.is_multiple_of(self.dim);
                ensure!(
                    reps.iter().enumerate().all(begins),
                    "its lists have different lengths; {} is needed",
                    self.dim
                );
            }
            self.values.extend(values.iter().map(convert));
            ensure!(
                self.values.len() as u64 <= self.most,
                "it has more values than {}, which are allowed for files of this size",
                self.most
            );
        }
    }
}
