//! Tables in Parquet, with the types that pyarrow gives them.

use crate::kill;
use anyhow::{Context, Result};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type,
};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A column of some rows.
pub struct Field {
    name: String,
    /// Lists around a value: 0 for a number per row.
    nesting: i16,
    /// Values per row.
    per_row: usize,
    values: Values,
}

/// Values of a column, row by row.
pub enum Values {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
    /// Whole numbers.
    I64(Vec<i64>),
    /// Flags.
    Bool(Vec<bool>),
    /// Texts.
    Text(Vec<ByteArray>),
    /// PNG files, in the structure of the `datasets` package's images.
    Png(Vec<ByteArray>),
}

impl Field {
    /// A column with one value per row.
    pub fn scalar(name: impl Into<String>, values: Values) -> Self {
        Self::nested(name, 0, 1, values)
    }

    /// A column with a list of `per_row` values per row.
    pub fn list(name: impl Into<String>, per_row: usize, values: Values) -> Self {
        Self::nested(name, 1, per_row, values)
    }

    /// A column with `per_row` values per row in `nesting` lists; inner lists have one value.
    pub fn nested(name: impl Into<String>, nesting: i16, per_row: usize, values: Values) -> Self {
        Self {
            name: name.into(),
            nesting,
            per_row,
            values,
        }
    }

    /// Appends the rows of the same column.
    pub fn append(&mut self, rows: Self) {
        match (&mut self.values, rows.values) {
            (Values::F32(to), Values::F32(from)) => to.extend(from),
            (Values::F64(to), Values::F64(from)) => to.extend(from),
            (Values::I64(to), Values::I64(from)) => to.extend(from),
            (Values::Bool(to), Values::Bool(from)) => to.extend(from),
            (Values::Text(to) | Values::Png(to), Values::Text(from) | Values::Png(from)) => {
                to.extend(from);
            }
            _ => unreachable!("{}: rows of another type", self.name),
        }
    }

    fn schema(&self) -> Result<TypePtr> {
        let (physical, logical) = match &self.values {
            Values::F32(_) => (Physical::FLOAT, None),
            Values::F64(_) => (Physical::DOUBLE, None),
            Values::I64(_) => (Physical::INT64, None),
            Values::Bool(_) => (Physical::BOOLEAN, None),
            Values::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Values::Png(_) => return picture_schema(&self.name),
        };
        let name = |level: i16| if level == 0 { &self.name } else { "element" };
        let leaf = Type::primitive_type_builder(name(self.nesting), physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()?;
        let mut inner = Arc::new(leaf);
        for level in (0..self.nesting).rev() {
            let list = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![inner])
                .build()?;
            let outer = Type::group_type_builder(name(level))
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(Some(LogicalType::List))
                .with_fields(vec![Arc::new(list)])
                .build()?;
            inner = Arc::new(outer);
        }
        Ok(inner)
    }

    fn write(&self, group: &mut SerializedRowGroupWriter<'_, File>) -> Result<()> {
        match &self.values {
            Values::F32(values) => self.write_leaf::<FloatType>(group, values),
            Values::F64(values) => self.write_leaf::<DoubleType>(group, values),
            Values::I64(values) => self.write_leaf::<Int64Type>(group, values),
            Values::Bool(values) => self.write_leaf::<BoolType>(group, values),
            Values::Text(values) => self.write_leaf::<ByteArrayType>(group, values),
            Values::Png(values) => {
                let n_rows = values.len();
                write_leaf::<ByteArrayType>(group, values, &vec![2; n_rows], None)?;
                // No path: the bytes are here.
                write_leaf::<ByteArrayType>(group, &[], &vec![1; n_rows], None)
            }
        }
    }

    fn write_leaf<T: DataType>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, File>,
        values: &[T::T],
    ) -> Result<()> {
        // Each list is one optional and one repeated level; the value is optional, too.
        let levels = vec![2 * self.nesting + 1; values.len()];
        let begins = |index: usize| i16::from(!index.is_multiple_of(self.per_row));
        let repeats: Vec<i16> = (0..values.len()).map(begins).collect();
        let repeats = (self.nesting > 0).then_some(repeats.as_slice());
        write_leaf::<T>(group, values, &levels, repeats)
    }
}

fn write_leaf<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
    levels: &[i16],
    repeats: Option<&[i16]>,
) -> Result<()> {
    let mut column = group.next_column()?.context("a column of the schema")?;
    let typed: &mut ColumnWriterImpl<'_, T> = column.typed::<T>();
    typed.write_batch(values, Some(levels), repeats)?;
    Ok(column.close()?)
}

/// The structure `{bytes, path}` of an image.
fn picture_schema(name: &str) -> Result<TypePtr> {
    let part = |name, logical| {
        Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()
    };
    let parts = vec![
        Arc::new(part("bytes", None)?),
        Arc::new(part("path", Some(LogicalType::String))?),
    ];
    let group = Type::group_type_builder(name)
        .with_repetition(Repetition::OPTIONAL)
        .with_fields(parts)
        .build()?;
    Ok(Arc::new(group))
}

/// A Parquet file that is written row group by row group.
pub struct TableWriter {
    writer: SerializedFileWriter<File>,
}

impl TableWriter {
    /// Creates the file at `path`, and its folder, for the columns of `fields`.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn create(path: &Path, fields: &[Field], metadata: Vec<KeyValue>) -> Result<Self> {
        let create = || -> Result<Self> {
            kill::point();
            std::fs::create_dir_all(path.parent().context("no folder")?)?;
            kill::point();
            let columns = fields.iter().map(Field::schema).collect::<Result<_>>()?;
            let schema = Type::group_type_builder("schema")
                .with_fields(columns)
                .build()?;
            let properties = WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                .set_key_value_metadata(Some(metadata))
                .build();
            let file = File::create(path)?;
            kill::point();
            let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
            Ok(Self { writer })
        };
        create().with_context(|| path.display().to_string())
    }

    /// Writes a row group.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write(&mut self, fields: &[Field]) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for field in fields {
            (field.write(&mut group)).with_context(|| format!("column {}", field.name))?;
        }
        group.close()?;
        Ok(())
    }

    /// Bytes written so far.
    pub fn n_bytes(&self) -> usize {
        self.writer.bytes_written()
    }

    /// Writes the end of the file.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn finish(self) -> Result<()> {
        self.writer.close()?;
        Ok(())
    }
}
