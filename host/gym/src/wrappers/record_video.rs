//! Gymnasium's `RecordVideo`, with animated GIFs as videos.

use super::forward;
use crate::env::{Env, EnvError, Step};
use crate::value::{Dict, Value};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Frames per second of an environment without `render_fps`.
const RENDER_FPS: f64 = 30.0;
/// Speed of choosing a frame's colours: 1 is the slowest and best, 30 the fastest.
const COLOR_SPEED: i32 = 10;

/// Gymnasium's default schedule: records episodes 0, 1, 8, 27 and so on up to 729, then every
/// thousandth.
pub fn capped_cubic_video_schedule(episode: u64) -> bool {
    if episode < 1000 {
        (0..10).any(|root: u64| root.pow(3) == episode)
    } else {
        episode.is_multiple_of(1000)
    }
}

/// Records episodes as `PREFIX-episode-N.gif`, one frame per step; the file is written when the
/// episode ends, or when the wrapper is closed or dropped in its middle.
#[derive(Debug)]
pub struct RecordVideo<E: Env> {
    env: E,
    folder: PathBuf,
    prefix: String,
    is_recorded: fn(u64) -> bool,
    /// Number of the current episode.
    episode: Option<u64>,
    frames: Vec<Value>,
}

impl<E: Env> RecordVideo<E> {
    /// Records the episodes for which `is_recorded` (Gymnasium's `episode_trigger`) is true into
    /// `folder`, which is created if it is missing.
    ///
    /// # Errors
    /// If the environment has no render mode, or the folder can't be created.
    pub fn new(
        env: E,
        folder: impl Into<PathBuf>,
        prefix: &str,
        is_recorded: fn(u64) -> bool,
    ) -> Result<Self, EnvError> {
        if env.render_mode().is_none() {
            let message = "an environment without a render mode can't be recorded";
            return Err(EnvError::new("ValueError", message));
        }
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        Ok(Self {
            env,
            folder,
            prefix: prefix.to_owned(),
            is_recorded,
            episode: None,
            frames: Vec::new(),
        })
    }

    fn capture(&mut self) -> Result<(), EnvError> {
        if self.episode.is_some_and(self.is_recorded) {
            self.frames.push(self.env.render()?);
        }
        Ok(())
    }

    /// Writes the recorded frames of the episode.
    fn write(&mut self) -> Result<(), EnvError> {
        let frames = std::mem::take(&mut self.frames);
        let (Some(episode), false) = (self.episode, frames.is_empty()) else {
            return Ok(());
        };
        let metadata = self.env.metadata();
        let fps = metadata.get("render_fps").and_then(Value::as_float);
        let path = self
            .folder
            .join(format!("{}-episode-{episode}.gif", self.prefix));
        let file = encode(&frames, fps.unwrap_or(RENDER_FPS))?;
        let written = write_whole(&path, &file);
        written.map_err(|error| EnvError::new("OSError", format!("{}: {error}", path.display())))
    }
}

/// Writes a file beside `path` and renames it when it is whole, so that no reader sees a part. What a
/// killed program left is overwritten.
///
/// Simpler than the writer of the package `pusht-host`: the name is made here, so it leads to no device
/// and through no link of the user's, and a picture need not survive a power failure.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

/// Encodes arrays (rows, columns, 3) as a GIF.
fn encode(frames: &[Value], fps: f64) -> Result<Vec<u8>, EnvError> {
    let wrong = |frame| EnvError::wrong_value("render", "an array of u8 (rows, columns, 3)", frame);
    let mut encoder: Option<gif::Encoder<Vec<u8>>> = None;
    for frame in frames {
        let array = frame.as_array().ok_or_else(|| wrong(frame))?;
        let (&[rows, columns, 3], Some(rgb)) = (array.shape(), array.slice::<u8>()) else {
            return Err(wrong(frame));
        };
        let (width, height) = (u16::try_from(columns)?, u16::try_from(rows)?);
        let encoder = match &mut encoder {
            Some(encoder) => encoder,
            none => {
                let mut new = gif::Encoder::new(Vec::new(), width, height, &[])?;
                new.set_repeat(gif::Repeat::Infinite)?;
                none.insert(new)
            }
        };
        let mut picture = gif::Frame::from_rgb_speed(width, height, rgb, COLOR_SPEED);
        // Hundredths of a second.
        picture.delay = (100.0 / fps).round() as u16;
        encoder.write_frame(&picture)?;
    }
    match encoder {
        Some(encoder) => Ok(encoder.into_inner()?),
        None => Ok(Vec::new()),
    }
}

impl<E: Env> Env for RecordVideo<E> {
    forward!(observation_space action_space metadata render call get_attr set_attr);

    fn reset(&mut self, seed: Option<u64>, options: &Dict) -> Result<(Value, Dict), EnvError> {
        self.write()?;
        let reset = self.env.reset(seed, options)?;
        self.episode = Some(self.episode.map_or(0, |episode| episode + 1));
        self.capture()?;
        Ok(reset)
    }

    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        let step = self.env.step(action)?;
        self.capture()?;
        if step.is_last() {
            self.write()?;
        }
        Ok(step)
    }

    fn close(&mut self) {
        // `close` can't return an error; `reset` would.
        let _ = self.write();
        self.env.close();
    }
}

impl<E: Env> Drop for RecordVideo<E> {
    fn drop(&mut self) {
        // As in `close`, where there are no frames left.
        let _ = self.write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::EnvFn;
    use crate::pusht::{PictureStyle, PushT, PushTOptions};
    use crate::vector::{Seed, SyncVectorEnv, VectorEnv, VectorOptions};
    use crate::wrappers::TimeLimit;
    use crate::wrappers::tests::Counter;
    use std::sync::Arc;

    #[test]
    fn the_default_schedule_is_cubes_then_thousands() {
        let recorded: Vec<u64> = (0..=2000)
            .filter(|n| capped_cubic_video_schedule(*n))
            .collect();
        assert_eq!(
            recorded,
            [0, 1, 8, 27, 64, 125, 216, 343, 512, 729, 1000, 2000]
        );
    }

    #[test]
    fn each_recorded_episode_is_a_file_with_a_frame_per_step() {
        let folder = tempfile::tempdir().unwrap();
        let env = TimeLimit::new(PushT::new(small()).unwrap(), 3).unwrap();
        let mut env = recorder(env, folder.path(), |episode| episode != 1);
        for seed in 0..3 {
            env.reset(Some(seed), &Dict::new()).unwrap();
            for step in 0..3 {
                // The last one is closed in its middle.
                if seed < 2 || step < 1 {
                    env.step(&[100.0, 400.0].into()).unwrap();
                }
            }
        }
        env.close();
        let frames = |episode| frames(folder.path(), episode);
        assert_eq!(frames(0), Some(vec![10; 4]));
        assert_eq!(frames(1), None);
        assert_eq!(frames(2), Some(vec![10; 2]));
        assert!(RecordVideo::new(Counter::new(1), folder.path(), "counter", |_| true).is_err());
    }

    /// Gymnasium warns that they are lost.
    #[test]
    fn the_frames_of_a_recorder_that_is_dropped_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut env = recorder(PushT::new(small()).unwrap(), folder.path(), |_| true);
        env.reset(Some(0), &Dict::new()).unwrap();
        env.step(&[100.0, 400.0].into()).unwrap();
        drop(env);
        assert_eq!(frames(folder.path(), 0), Some(vec![10; 2]));
        // Also behind another wrapper, in a vector environment that is not closed.
        let path = folder.path().join("vector");
        let env_fn: EnvFn = Arc::new(move || {
            let recorder = recorder(PushT::new(small())?, &path, |_| true);
            Ok(Box::new(TimeLimit::new(recorder, 9)?))
        });
        let mut envs = SyncVectorEnv::new(&[env_fn], VectorOptions::default()).unwrap();
        envs.reset(Seed::Int(0), &Dict::new()).unwrap();
        drop(envs);
        assert_eq!(frames(&folder.path().join("vector"), 0), Some(vec![10]));
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_no_part_and_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut env = recorder(PushT::new(small()).unwrap(), folder.path(), |_| true);
        let videos = folder.path().join("videos");
        fs::create_dir(videos.join("pusht-episode-0.gif")).unwrap();
        env.reset(Some(0), &Dict::new()).unwrap();
        let error = env.reset(Some(1), &Dict::new()).unwrap_err();
        assert!(error.to_string().contains("pusht-episode-0.gif"), "{error}");
        let names = fs::read_dir(videos).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["pusht-episode-0.gif"]);
    }

    /// PushT with small pictures.
    fn small() -> PushTOptions {
        PushTOptions {
            visualization_width: 32,
            visualization_height: 32,
            picture_style: PictureStyle::Smooth,
            ..PushTOptions::default()
        }
    }

    fn recorder<E: Env>(env: E, folder: &Path, is_recorded: fn(u64) -> bool) -> RecordVideo<E> {
        RecordVideo::new(env, folder.join("videos"), "pusht", is_recorded).unwrap()
    }

    /// How long each frame of an episode's file is shown; `None` if there is no file.
    fn frames(folder: &Path, episode: u64) -> Option<Vec<u16>> {
        let path = folder.join(format!("videos/pusht-episode-{episode}.gif"));
        let file = fs::File::open(path).ok()?;
        let mut decoder = gif::DecodeOptions::new().read_info(file).unwrap();
        assert_eq!((decoder.width(), decoder.height()), (32, 32));
        let mut delays = Vec::new();
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            delays.push(frame.delay);
        }
        Some(delays)
    }
}
