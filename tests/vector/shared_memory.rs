//! Gymnasium's `utils/test_shared_memory.py`.

use crate::envs::testing_spaces;
use pusht_gym::space::{Space, seeded};
use pusht_gym::value::{Dtype, Value};
use pusht_gym::vector::{SharedMemory, SharedMemoryError};

fn write_and_read(space: &Space) {
    for n in [1, 8] {
        let mut random = seeded(n as u64);
        let samples: Vec<Value> = (0..n).map(|_| space.sample(&mut random)).collect();
        let memory = SharedMemory::create(space, n).unwrap();
        for (index, sample) in samples.iter().enumerate() {
            memory.write(index, sample);
        }
        let read: Vec<Value> = (0..n).map(|index| memory.read(index)).collect();
        assert_eq!(read, samples);
    }
}

#[test]
fn test_shared_memory_create_read_write() {
    testing_spaces().iter().for_each(write_and_read);
}

#[test]
fn test_shared_memory_no_array_typecode_dtypes() {
    // The types that Python's `array` does not know: here there is no such difference, and every
    // type is tried.
    let dtypes: Vec<Dtype> = testing_spaces()
        .iter()
        .filter_map(|space| match space {
            Space::Box { low, .. } => Some(low.dtype()),
            _ => None,
        })
        .collect();
    for dtype in [
        Dtype::F64,
        Dtype::F32,
        Dtype::F16,
        Dtype::I64,
        Dtype::I32,
        Dtype::U8,
        Dtype::Bool,
    ] {
        assert!(dtypes.contains(&dtype), "no space of {}", dtype.name());
    }
}

#[test]
fn test_custom_space() {
    let space = Space::dict([
        ("a", Space::discrete(2)),
        ("b", Space::Custom("graph".into())),
    ]);
    let error = SharedMemory::create(&space, 1).err().unwrap();
    assert!(matches!(&error, SharedMemoryError::CustomSpace(name) if name == "graph"));
    assert!(
        error.to_string().contains("`graph` have no fixed size"),
        "{error}"
    );
}
