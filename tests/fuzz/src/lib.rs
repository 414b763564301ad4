//! What the fuzz targets share: a limit on memory, and inputs that are a file or a folder.

#[cfg(feature = "demonstrations")]
use pusht_host::data::Demonstrations;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Address space of a target, bytes. A request for more fails and ends the target, whether or not
/// the memory would be touched; libFuzzer's own limit counts touched pages alone.
const ADDRESS_SPACE: u64 = 2 << 30;

/// Parts of a folder's files in an input are separated by this.
const SEPARATOR: &[u8] = b"\n--\n";

/// Limits the address space of this process.
pub fn limit_memory() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::As).maximum;
        let current = Some(ADDRESS_SPACE.min(maximum.unwrap_or(u64::MAX)));
        setrlimit(Resource::As, Rlimit { current, maximum }).expect("a limit can be lowered");
    }
}

/// Reads a dataset: it is refused, or its episodes are whole and finite.
#[cfg(feature = "demonstrations")]
pub fn check_demonstrations(path: &Path) {
    let Ok(demonstrations) = Demonstrations::open(path) else {
        return;
    };
    assert!(!demonstrations.episodes.is_empty());
    for episode in &demonstrations.episodes {
        assert_eq!(episode.states.len(), episode.actions.len());
        assert!(!episode.states.is_empty());
        let states = episode.states.iter().flatten();
        let mut values = states.chain(episode.actions.iter().flatten());
        assert!(values.all(|value| value.is_finite()));
    }
}

/// A folder for the files of one input at a time; in memory where the system has such a place.
pub struct Place(TempDir);

impl Default for Place {
    fn default() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => TempDir::new_in(memory),
            false => TempDir::new(),
        };
        Self(folder.expect("a temporary folder can be made"))
    }
}

impl Place {
    /// Path of a file with these contents.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).expect("a temporary file can be written");
        path
    }

    /// Path of a folder with the files of `input`: each has its name in its first line, and is
    /// written only if that is one of `names`.
    pub fn folder(&self, input: &[u8], names: &[&str]) -> PathBuf {
        let folder = self.0.path().join("folder");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a temporary folder can be made");
        for part in parts(input) {
            let end = part.iter().position(|byte| *byte == b'\n');
            let (name, contents) = part.split_at(end.map_or(part.len(), |end| end + 1));
            let name = String::from_utf8_lossy(name.trim_ascii_end());
            if names.contains(&&*name) {
                let path = folder.join(&*name);
                fs::create_dir_all(path.parent().expect("it is in the folder"))
                    .and_then(|()| fs::write(path, contents))
                    .expect("a temporary file can be written");
            }
        }
        folder
    }
}

/// Splits at every [`SEPARATOR`].
fn parts(mut input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some(at) = input.windows(SEPARATOR.len()).position(|w| w == SEPARATOR) {
        parts.push(&input[..at]);
        input = &input[at + SEPARATOR.len()..];
    }
    parts.push(input);
    parts
}
