//! Observations and actions of a policy's task.

use super::is_default;
use pusht_core::pusht::observation::ObservationKind;
use serde::{Deserialize, Serialize};

/// Observations and actions of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Name, at most 32 bytes.
    pub name: String,
    /// The `Do` values of an observation.
    pub observation: Vec<ObservedValue>,
    /// The `Da` values of an action.
    pub action: Vec<CommandedValue>,
}

/// A value of an observation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedValue {
    /// Name, at most 32 bytes.
    pub name: String,
    /// Unit, at most 16 bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unit: String,
}

/// A value of an action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandedValue {
    /// Name, at most 32 bytes.
    pub name: String,
    /// Unit, at most 16 bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unit: String,
    /// Index of the value in the newest observation that is added; absent for an absolute value.
    #[serde(default, skip_serializing_if = "is_default")]
    pub relative_to: Option<usize>,
    /// Value while there is no plan.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hold: Hold,
}

/// File form of [`pusht_core::quant::Hold`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Value of the last action: for positions.
    #[default]
    Last,
    /// Observed value that a relative action is relative to.
    Observed,
    /// Zero: for velocities and displacements.
    Zero,
}

impl Task {
    /// Task whose values have no names.
    pub fn unnamed(obs_dim: usize, action_dim: usize) -> Self {
        let observed = |index| ObservedValue {
            name: format!("obs_{index}"),
            ..ObservedValue::default()
        };
        let commanded = |index| CommandedValue {
            name: format!("action_{index}"),
            ..CommandedValue::default()
        };
        Self {
            name: String::new(),
            observation: (0..obs_dim).map(observed).collect(),
            action: (0..action_dim).map(commanded).collect(),
        }
    }
}

/// Origin of the predicted actions' coordinates; planned actions are always absolute positions.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum ActionFrame {
    /// Corner of the window: absolute positions, as in diffusion_policy.
    #[default]
    Window,
    /// Agent in the newest observation: displacements, with a smaller range, so that an error of
    /// the network is fewer pixels (relative trajectories of UMI, arXiv 2402.10329).
    Agent,
}

/// File form of [`ObservationKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// Five state values.
    State,
    /// Nine keypoints and the agent.
    Keypoints,
    /// Eight vertices and the agent.
    Vertices,
}

impl Observation {
    /// PushT observation of length `obs_dim`.
    pub fn of_dim(obs_dim: usize) -> Option<Self> {
        let all = [Self::State, Self::Keypoints, Self::Vertices];
        let dim = |kind: &Self| ObservationKind::from(*kind).dim();
        all.into_iter().find(|kind| dim(kind) == obs_dim)
    }

    /// Task with these observations and actions relative to `frame`.
    pub fn task(self, frame: ActionFrame) -> Task {
        let kind = ObservationKind::from(self);
        let value = |name: &str, unit: &str| ObservedValue {
            name: name.to_owned(),
            unit: unit.to_owned(),
        };
        let points = |what: &str, n: usize| {
            let point = |index| ["x", "y"].map(|axis| format!("{what}_{index}_{axis}"));
            let names: Vec<String> = (0..n).flat_map(point).collect();
            let agent = ["agent_x".to_owned(), "agent_y".to_owned()];
            let names = names.into_iter().chain(agent);
            names.map(|name| value(&name, "px")).collect()
        };
        let observation = match self {
            Self::State => ["agent_x", "agent_y", "block_x", "block_y"]
                .map(|name| value(name, "px"))
                .into_iter()
                .chain([value("block_angle", "rad")])
                .collect(),
            Self::Keypoints => points("keypoint", 9),
            Self::Vertices => points("vertex", 8),
        };
        let target = |(axis, name): (usize, &str)| CommandedValue {
            name: name.to_owned(),
            unit: "px".to_owned(),
            relative_to: (frame == ActionFrame::Agent).then_some(kind.agent_at() + axis),
            hold: match frame {
                ActionFrame::Window => Hold::Last,
                ActionFrame::Agent => Hold::Observed,
            },
        };
        Task {
            name: kind.task().to_owned(),
            observation,
            action: ["target_x", "target_y"]
                .into_iter()
                .enumerate()
                .map(target)
                .collect(),
        }
    }
}

impl From<Observation> for ObservationKind {
    fn from(observation: Observation) -> Self {
        match observation {
            Observation::State => Self::State,
            Observation::Keypoints => Self::Keypoints,
            Observation::Vertices => Self::Vertices,
        }
    }
}
