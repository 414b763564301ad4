//! The task of an imported policy: what its checkpoint says, or what the caller says.

use super::Options;
use crate::policy_file::{Observation, Task};
use anyhow::{Result, bail, ensure};
use pusht_core::pusht::observation::ObservationKind;

/// What a checkpoint says about its task.
#[derive(Clone, Debug, Default)]
pub(super) struct Clues {
    /// Name of the task, and the setting that it is from.
    pub(super) name: Option<(String, &'static str)>,
    /// Whether the features have names that PushT alone has, and which.
    pub(super) features: Option<&'static str>,
}

/// Task that was decided on.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decision {
    PushT(Observation),
    Other(Task),
}

impl Decision {
    /// Decides from the caller's `options`, then from the checkpoint's `clues`; says why.
    ///
    /// # Errors
    /// If the sizes contradict it, or nothing tells PushT from another task of the same sizes.
    pub(super) fn new(
        clues: &Clues,
        obs_dim: usize,
        action_dim: usize,
        options: &Options,
    ) -> Result<(Self, String)> {
        let named = clues.name.as_ref();
        let said = named.map(|(name, place)| format!("{name:?} ({place})"));
        if let Some(task) = &options.task {
            check_sizes(task, obs_dim, action_dim)?;
            check_name(&task.name)?;
            return Ok((
                Self::Other(task.clone()),
                format!("{:?} (--task)", task.name),
            ));
        }
        if let Some(observation) = options.observation {
            let dim = ObservationKind::from(observation).dim();
            ensure!(
                (obs_dim, action_dim) == (dim, crate::data::ACTION_DIM),
                "--observation {}: has {dim} values and actions of {}, the checkpoint {obs_dim} and {action_dim}",
                name_of(observation),
                crate::data::ACTION_DIM
            );
            let said = said.map_or(String::new(), |said| {
                format!("; the checkpoint says {said}")
            });
            let kind = name_of(observation);
            return Ok((
                Self::PushT(observation),
                format!("PushT, {kind} (--observation{said})"),
            ));
        }
        let pusht = Observation::of_dim(obs_dim).filter(|_| action_dim == crate::data::ACTION_DIM);
        match (named, clues.features, pusht) {
            (Some((name, place)), _, Some(observation)) if is_pusht(name) => Ok((
                Self::PushT(observation),
                format!("PushT, {}, from {name:?} ({place})", name_of(observation)),
            )),
            (Some((name, place)), ..) if is_pusht(name) => bail!(
                "the task {name:?} ({place}) with observations of {obs_dim} values and actions of {action_dim}: PushT has \
                 5 (state), 18 (vertices) or 20 (keypoints) and 2; --task FILE names the values of another task"
            ),
            (Some((name, place)), ..) => {
                let mut task = Task::unnamed(obs_dim, action_dim);
                task.name = short(name);
                check_name(&task.name)?;
                let hint = pusht.map_or(String::new(), |observation| {
                    let kind = name_of(observation);
                    format!(", which is not PushT's; --observation {kind} takes it as PushT")
                });
                Ok((Self::Other(task), format!("{name:?} ({place}){hint}")))
            }
            (None, Some(features), Some(observation)) => Ok((
                Self::PushT(observation),
                format!(
                    "PushT, {}, from the features {features}",
                    name_of(observation)
                ),
            )),
            (None, None, Some(observation)) => bail!(
                "nothing names the task: with observations of {obs_dim} values and actions of {action_dim} it may be \
                 PushT or another one; --observation {} takes it as PushT, --task FILE as another task",
                name_of(observation)
            ),
            (None, _, None) => Ok((
                Self::Other(Task::unnamed(obs_dim, action_dim)),
                "another than PushT, from its sizes; --task FILE names it".to_owned(),
            )),
        }
    }
}

/// Whether a task or data set of this name is gym-pusht's or diffusion_policy's PushT.
fn is_pusht(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    let letters = last.chars().filter(char::is_ascii_alphanumeric);
    letters
        .collect::<String>()
        .to_ascii_lowercase()
        .starts_with("pusht")
}

/// Name on the command line.
fn name_of(observation: Observation) -> &'static str {
    match observation {
        Observation::State => "state",
        Observation::Keypoints => "keypoints",
        Observation::Vertices => "vertices",
    }
}

/// A model file knows PushT by its task's name.
fn check_name(name: &str) -> Result<()> {
    ensure!(
        ObservationKind::of_task(name).is_none(),
        "the task's name {name:?} is PushT's here: --observation takes the policy as PushT, --task FILE gives \
         another name"
    );
    Ok(())
}

fn check_sizes(task: &Task, obs_dim: usize, action_dim: usize) -> Result<()> {
    let (observed, commanded) = (task.observation.len(), task.action.len());
    ensure!(
        (observed, commanded) == (obs_dim, action_dim),
        "--task: names {observed} values of an observation and {commanded} of an action, \
         the checkpoint has {obs_dim} and {action_dim}"
    );
    Ok(())
}

/// Beginning of a name, as long as a model file takes it.
fn short(name: &str) -> String {
    const MAX_BYTES: usize = 32;
    let mut end = name.len().min(MAX_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(name: Option<&str>, sizes: [usize; 2], options: &Options) -> Result<Decision> {
        let clues = Clues {
            name: name.map(|name| (name.to_owned(), "task.name")),
            features: None,
        };
        Decision::new(&clues, sizes[0], sizes[1], options).map(|(decision, _)| decision)
    }

    #[test]
    fn the_name_decides_and_not_the_sizes() {
        let none = Options::default();
        let pusht = decide(Some("pusht_lowdim"), [20, 2], &none).unwrap();
        assert_eq!(pusht, Decision::PushT(Observation::Keypoints));
        assert!(decide(Some("pusht/state"), [5, 2], &none).is_err());
        for name in ["maze", "real_pusht", "pusht/maze"] {
            let other = decide(Some(name), [5, 2], &none).unwrap();
            assert!(matches!(other, Decision::Other(task) if task.name == name));
        }
    }

    #[test]
    fn a_policy_of_pushts_sizes_without_a_name_asks_for_one() {
        let error = decide(None, [5, 2], &Options::default()).unwrap_err();
        assert!(error.to_string().contains("--observation state"), "{error}");
        let options = Options {
            observation: Some(Observation::State),
            ..Options::default()
        };
        let told = decide(None, [5, 2], &options).unwrap();
        assert_eq!(told, Decision::PushT(Observation::State));
        assert!(decide(None, [6, 2], &options).is_err());
        assert!(decide(Some("pusht"), [7, 2], &Options::default()).is_err());
    }
}
