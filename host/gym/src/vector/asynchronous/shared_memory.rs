//! Observations in shared memory: an unnamed file, which disappears with its last user.

use crate::space::Space;
use crate::value::{Array, Value};
use crate::vector::VectorError;
#[cfg(not(miri))]
use memmap2::MmapRaw;
#[cfg(miri)]
use own_memory::OwnMemory as MmapRaw;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Linux's file system in memory.
const MEMORY_FOLDER: &str = "/dev/shm";

/// A row of shared memory per sub-environment, for observations of one space. A worker writes its
/// own row; the caller reads a row between the worker's reply and its own next request.
#[derive(Debug)]
pub struct SharedMemory {
    space: Space,
    row_bytes: usize,
    num_envs: usize,
    file: File,
    map: MmapRaw,
}

impl SharedMemory {
    /// Allocates memory for `num_envs` observations of `space`, all zeros.
    ///
    /// # Errors
    /// [`SharedMemoryError::CustomSpace`] if observations have no fixed size,
    /// [`SharedMemoryError::System`] if the memory can't be allocated.
    pub fn create(space: &Space, num_envs: usize) -> Result<Self, SharedMemoryError> {
        let row_bytes = size_bytes(space)?;
        let mut file = if Path::new(MEMORY_FOLDER).is_dir() {
            tempfile::tempfile_in(MEMORY_FOLDER)
        } else {
            tempfile::tempfile()
        }?;
        // Zeros are written, so that too little memory is an error here and not a crash at the
        // first access.
        let len = (row_bytes * num_envs).max(1) as u64;
        io::copy(&mut io::repeat(0).take(len), &mut file)?;
        Self::open(space, num_envs, file)
    }

    /// Maps the memory that another process has created for the same `space` and `num_envs`.
    ///
    /// # Errors
    /// As [`Self::create`], and if the file is too short.
    pub fn open(space: &Space, num_envs: usize, file: File) -> Result<Self, SharedMemoryError> {
        let row_bytes = size_bytes(space)?;
        let map = MmapRaw::map_raw(&file)?;
        if map.len() < row_bytes * num_envs {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(Self {
            space: space.clone(),
            row_bytes,
            num_envs,
            file,
            map,
        })
    }

    /// The file behind it.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Writes the observation of sub-environment `index`.
    ///
    /// # Panics
    /// If `index` is out of range, or the observation does not have the space's type and shape.
    pub fn write(&self, index: usize, observation: &Value) {
        assert!(
            self.space.is_shape_of(observation),
            "observation of another space"
        );
        let mut row = vec![0; self.row_bytes];
        to_bytes(observation, &mut row.as_mut_slice());
        self.copy_in(index, &row);
    }

    /// Reads the observation of sub-environment `index`.
    ///
    /// # Panics
    /// If `index` is out of range.
    pub fn read(&self, index: usize) -> Value {
        let row = self.copy_out(index);
        let mut observation = self.space.zero();
        from_bytes(&mut observation, &mut row.as_slice());
        observation
    }

    #[allow(
        unsafe_code,
        reason = "memory that another process may write has no references, only a pointer"
    )]
    fn copy_in(&self, index: usize, row: &[u8]) {
        assert!(index < self.num_envs && row.len() == self.row_bytes);
        // SAFETY: the row lies within the map, whose length `open` has checked and which lives as
        // long as `self`; `row` is memory of this process alone and so does not overlap. Only this
        // environment's worker writes the row, and the caller reads it only between the worker's
        // reply and its own next request.
        unsafe {
            let to = self.map.as_mut_ptr().add(index * self.row_bytes);
            std::ptr::copy_nonoverlapping(row.as_ptr(), to, row.len());
        }
    }

    #[allow(
        unsafe_code,
        reason = "memory that another process may write has no references, only a pointer"
    )]
    fn copy_out(&self, index: usize) -> Vec<u8> {
        assert!(index < self.num_envs);
        let mut row = vec![0; self.row_bytes];
        // SAFETY: as in `copy_in`, in the other direction.
        unsafe {
            let from = self.map.as_ptr().add(index * self.row_bytes);
            std::ptr::copy_nonoverlapping(from, row.as_mut_ptr(), row.len());
        }
        row
    }
}

/// An error of [`SharedMemory`].
#[derive(Debug)]
pub enum SharedMemoryError {
    /// Observations of this custom space have no fixed size.
    CustomSpace(String),
    /// The operating system could not provide the memory.
    System(io::Error),
}

impl From<io::Error> for SharedMemoryError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl std::fmt::Display for SharedMemoryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CustomSpace(name) => VectorError::CustomSpace(name.clone()).fmt(f),
            Self::System(error) => write!(f, "no shared memory: {error}"),
        }
    }
}

impl std::error::Error for SharedMemoryError {}

fn size_bytes(space: &Space) -> Result<usize, SharedMemoryError> {
    Ok(match space {
        Space::Box { low, .. } => low.data().len() * low.dtype().size_bytes(),
        Space::Discrete { .. } => size_of::<i64>(),
        Space::Dict(parts) => parts.values().map(size_bytes).sum::<Result<_, _>>()?,
        Space::Tuple(parts) => parts.iter().map(size_bytes).sum::<Result<_, _>>()?,
        Space::Custom(name) => return Err(SharedMemoryError::CustomSpace(name.clone())),
    })
}

/// Writes a value to the front of `out` and advances `out`.
fn to_bytes(value: &Value, out: &mut &mut [u8]) {
    match value {
        Value::Array(array) => {
            let len = array_bytes(array);
            let (own, rest) = std::mem::take(out).split_at_mut(len);
            array.data().write_bytes(own);
            *out = rest;
        }
        Value::Int(value) => {
            let value = i64::try_from(*value).expect("an integer of a discrete space has 64 bits");
            to_bytes(&Array::filled(&[], value).into(), out);
        }
        Value::Dict(parts) => parts.values().for_each(|part| to_bytes(part, out)),
        Value::List(parts) => parts.iter().for_each(|part| to_bytes(part, out)),
        Value::None | Value::Bool(_) | Value::Float(_) | Value::Text(_) => (),
    }
}

/// Overwrites a value of the right shape from the front of `bytes` and advances `bytes`.
fn from_bytes(value: &mut Value, bytes: &mut &[u8]) {
    match value {
        Value::Array(array) => {
            let (own, rest) = bytes.split_at(array_bytes(array));
            array.data_mut().read_bytes(own);
            *bytes = rest;
        }
        Value::Int(value) => {
            if let Some((own, rest)) = bytes.split_first_chunk() {
                *value = i64::from_ne_bytes(*own).into();
                *bytes = rest;
            }
        }
        Value::Dict(parts) => parts.values_mut().for_each(|part| from_bytes(part, bytes)),
        Value::List(parts) => parts.iter_mut().for_each(|part| from_bytes(part, bytes)),
        Value::None | Value::Bool(_) | Value::Float(_) | Value::Text(_) => (),
    }
}

fn array_bytes(array: &Array) -> usize {
    array.data().len() * array.dtype().size_bytes()
}

/// A stand-in for the map of a file, which Miri does not know: then the accesses to it are seen.
#[cfg(miri)]
mod own_memory {
    #![allow(unsafe_code)]

    use std::cell::UnsafeCell;
    use std::fs::File;
    use std::io;

    /// Memory as long as a file, of this process alone.
    #[derive(Debug)]
    pub(super) struct OwnMemory(Box<[UnsafeCell<u8>]>);

    // SAFETY: as the map, it is only accessed through pointers, by those who exclude each other.
    unsafe impl Sync for OwnMemory {}

    impl OwnMemory {
        pub(super) fn map_raw(file: &File) -> io::Result<Self> {
            let len = file.metadata()?.len();
            Ok(Self((0..len).map(|_| UnsafeCell::new(0)).collect()))
        }

        pub(super) fn len(&self) -> usize {
            self.0.len()
        }

        pub(super) fn as_ptr(&self) -> *const u8 {
            self.as_mut_ptr()
        }

        pub(super) fn as_mut_ptr(&self) -> *mut u8 {
            UnsafeCell::raw_get(self.0.as_ptr())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::dict;

    /// Each row is written by a thread of its own while the others are; Miri finds a race where two
    /// rows share a byte.
    #[test]
    fn rows_written_at_the_same_time_are_read_back() {
        let array = |row| Value::from(Array::filled(&[3], f64::from(row)));
        let space = Space::dict([
            ("array", Space::uniform_box(0.0, 9.0, &[3])),
            ("number", Space::discrete(9)),
        ]);
        let value = |row: u8| {
            let number = Value::Int(row.into());
            Value::Dict(dict([("array", array(row)), ("number", number)]))
        };
        let memory = SharedMemory::create(&space, 3).unwrap();
        std::thread::scope(|scope| {
            for row in 0..3_u8 {
                let memory = &memory;
                scope.spawn(move || memory.write(row.into(), &value(row)));
            }
        });
        for row in 0..3 {
            assert_eq!(memory.read(row.into()), value(row), "row {row}");
        }
    }

    /// A worker and its caller take turns, with nothing but their messages to order them: Miri finds
    /// a race where one reads before the other's message. (It does not know workers' sockets.)
    #[test]
    fn a_row_is_read_behind_the_message_that_announces_it() {
        use std::io::{Write, pipe};

        const N_STEPS: u8 = 3;
        let space = Space::uniform_box(0.0, 9.0, &[3]);
        let value = |step: u8| Value::from(Array::filled(&[3], f64::from(step)));
        let memory = SharedMemory::create(&space, 1).unwrap();
        let (mut requests, mut to_worker) = pipe().unwrap();
        let (mut replies, mut to_caller) = pipe().unwrap();
        std::thread::scope(|scope| {
            let memory = &memory;
            scope.spawn(move || {
                let mut step = [0];
                for _ in 0..N_STEPS {
                    requests.read_exact(&mut step).unwrap();
                    memory.write(0, &value(step[0]));
                    to_caller.write_all(&step).unwrap();
                }
            });
            for step in 1..=N_STEPS {
                to_worker.write_all(&[step]).unwrap();
                let mut reply = [0];
                replies.read_exact(&mut reply).unwrap();
                assert_eq!((reply, memory.read(0)), ([step], value(step)));
            }
        });
    }
}
