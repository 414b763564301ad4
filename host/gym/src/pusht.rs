//! PushT as an [`Env`]: gym-pusht's `PushTEnv` and diffusion_policy's `PushTKeypointsEnv`.

use crate::env::{Env, EnvError, Registry, Step};
use crate::pixels::{Frame, MAX_SIDE, Renderer};
use crate::space::Space;
use crate::value::{Array, Dict, Value, dict};
use pusht_core::pusht::env::{
    PushTEnv, PushTParams, Seeding, StartOrder, StartSequence, StartState, WINDOW_PX,
};
use pusht_core::pusht::observation::{
    MASKED_KEYPOINTS_DIM, MaskedKeypoints, ObservationKind, STATE_DIM, observe,
};
use rand::TryRng;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Name of gym-pusht's environment.
pub const PUSHT_ID: &str = "gym_pusht/PushT-v0";
/// Name of diffusion_policy's environment with keypoints.
pub const KEYPOINTS_ID: &str = "pusht/PushTKeypoints-v0";
/// Width and height of an observed picture, and of one that is shown, pixels (gym-pusht's
/// `observation_width`, `visualization_width`).
const OBSERVATION_SIZE: usize = 96;
const VISUALIZATION_SIZE: usize = 680;
/// Control steps per second.
const RENDER_FPS: i64 = 10;
/// gym-pusht's render mode for pictures as arrays.
const RENDER_MODE: &str = "rgb_array";

/// Kind of observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObsType {
    /// The five state values.
    State,
    /// gym-pusht's dictionary: the block's eight vertices (16 values) and the agent's position (2).
    EnvironmentStateAgentPos,
    /// diffusion_policy's 40 values: nine keypoints and the agent (20), then their visibility (20).
    Keypoints,
    /// gym-pusht's picture, bytes (height, width, 3).
    Pixels,
    /// gym-pusht's dictionary: the picture and the agent's position (2).
    PixelsAgentPos,
}

/// Kind of picture that [`Env::render`] returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PictureStyle {
    /// gym-pusht's, byte for byte ([`crate::pixels`]).
    #[default]
    GymPushT,
    /// Square and anti-aliased (`scene`; needs the feature `render`).
    Smooth,
}

/// Options of [`PushT`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PushTOptions {
    /// Kind of observation.
    pub obs_type: ObsType,
    /// How a seed becomes start states.
    pub seeding: Seeding,
    /// Order in which a start state is set.
    pub start_order: StartOrder,
    /// Parameters of the simulator, with the time limit.
    pub params: PushTParams,
    /// Probability that a keypoint is visible.
    pub keypoint_visible_rate: f64,
    /// Width of an observed picture, pixels.
    pub observation_width: usize,
    /// Height of an observed picture, pixels.
    pub observation_height: usize,
    /// Width of a rendered picture, pixels.
    pub visualization_width: usize,
    /// Height of a rendered picture, pixels.
    pub visualization_height: usize,
    /// Kind of rendered picture.
    pub picture_style: PictureStyle,
}

impl Default for PushTOptions {
    fn default() -> Self {
        Self {
            obs_type: ObsType::State,
            seeding: Seeding::Pcg64,
            start_order: StartOrder::Legacy,
            params: PushTParams::default(),
            keypoint_visible_rate: 1.0,
            observation_width: OBSERVATION_SIZE,
            observation_height: OBSERVATION_SIZE,
            visualization_width: VISUALIZATION_SIZE,
            visualization_height: VISUALIZATION_SIZE,
            picture_style: PictureStyle::GymPushT,
        }
    }
}

/// PushT behind the Gymnasium interface; the simulator is [`PushTEnv`].
pub struct PushT {
    options: PushTOptions,
    seed: u64,
    starts: StartSequence,
    keypoints: MaskedKeypoints,
    reset_to_state: Option<[f64; STATE_DIM]>,
    env: Option<PushTEnv>,
    /// Action of the last step, also of an earlier episode, as gym-pusht marks it.
    last_action: Option<[f64; 2]>,
    /// Draws the first picture and all after it.
    renderer: Option<Renderer>,
}

impl PushT {
    /// PushT with these options. Until [`Env::reset`] gets a seed, its episodes differ from run to
    /// run.
    ///
    /// # Errors
    /// If a picture would have no pixels, or a side of more than 16384; if the operating system
    /// provides no random numbers.
    pub fn new(options: PushTOptions) -> Result<Self, EnvError> {
        for (name, side) in [
            ("observation_width", options.observation_width),
            ("observation_height", options.observation_height),
            ("visualization_width", options.visualization_width),
            ("visualization_height", options.visualization_height),
        ] {
            if !(1..=MAX_SIDE).contains(&side) {
                let message = format!("{name}: {side} pixels; 1 to {MAX_SIDE} are supported");
                return Err(EnvError::new("ValueError", message));
            }
        }
        // Within the legacy seeding's range.
        let seed = u64::from(rand::rngs::SysRng.try_next_u32()?);
        Ok(Self {
            seed,
            starts: StartSequence::new(seed, options.seeding)?,
            keypoints: MaskedKeypoints::new(options.keypoint_visible_rate, seed),
            options,
            reset_to_state: None,
            env: None,
            last_action: None,
            renderer: None,
        })
    }

    fn running(&self) -> Result<&PushTEnv, EnvError> {
        self.env.as_ref().ok_or_else(reset_needed)
    }

    fn observation(&mut self) -> Result<Value, EnvError> {
        let state = self.running()?.state();
        Ok(match self.options.obs_type {
            ObsType::State => state.into(),
            ObsType::EnvironmentStateAgentPos => {
                let mut values = [0.0; ObservationKind::Vertices.dim()];
                observe(ObservationKind::Vertices, &state, &mut values)?;
                let (vertices, agent) = values.split_at(ObservationKind::Vertices.agent_at());
                dict([
                    ("environment_state", vertices.to_vec().into()),
                    ("agent_pos", agent.to_vec().into()),
                ])
                .into()
            }
            ObsType::Keypoints => self.keypoints.observe(&state)?.into(),
            ObsType::Pixels => self.observed_picture()?,
            ObsType::PixelsAgentPos => dict([
                ("pixels", self.observed_picture()?),
                ("agent_pos", [state[0], state[1]].into()),
            ])
            .into(),
        })
    }

    fn observed_picture(&mut self) -> Result<Value, EnvError> {
        let options = &self.options;
        self.picture(
            [options.observation_width, options.observation_height],
            None,
        )
    }

    /// gym-pusht's picture of the current state, (height, width, 3), with the marker of `action`.
    fn picture(
        &mut self,
        [width, height]: [usize; 2],
        action: Option<[f64; 2]>,
    ) -> Result<Value, EnvError> {
        let frame = Frame::of_env(self.running()?);
        let renderer = self.renderer.get_or_insert_with(Renderer::new);
        let mut rgb = vec![0; 3 * width * height];
        renderer.render(&frame, width, height, action, &mut rgb)?;
        picture_of(rgb, [width, height])
    }

    #[cfg(feature = "render")]
    fn smooth_picture(&mut self) -> Result<Value, EnvError> {
        use crate::scene::{Scene, draw};
        let [width, height] = [
            self.options.visualization_width,
            self.options.visualization_height,
        ];
        let size = u32::try_from(width).ok().filter(|_| width == height);
        let info = self.running()?.info();
        let scene = Scene {
            state: self.running()?.state(),
            goal: [info.goal_pos_px.x, info.goal_pos_px.y, info.goal_angle_rad],
            target: self.last_action,
            plan: &[],
        };
        let picture = size.and_then(|size| draw(&scene, size)).ok_or_else(|| {
            let message = format!(
                "visualization_width, visualization_height: a smooth picture is square and has a \
                 pixel at least, {width} x {height} given"
            );
            EnvError::new("ValueError", message)
        })?;
        let rgb: Vec<u8> = picture
            .pixels()
            .iter()
            .flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()])
            .collect();
        picture_of(rgb, [width, height])
    }

    #[cfg(not(feature = "render"))]
    fn smooth_picture(&mut self) -> Result<Value, EnvError> {
        let message = "picture_style: smooth pictures need the feature `render`";
        Err(EnvError::new("NotImplemented", message))
    }

    /// gym-pusht's `info`, with `n_contacts` divided by the 10 physics steps of a control step
    /// (gym-pusht divides by 1000).
    fn info(&self, is_success: bool) -> Result<Dict, EnvError> {
        let info = self.running()?.info();
        Ok(dict([
            (
                "pos_agent",
                [info.agent_pos_px.x, info.agent_pos_px.y].into(),
            ),
            ("vel_agent", [info.agent_vel.x, info.agent_vel.y].into()),
            (
                "block_pose",
                [
                    info.block_pos_px.x,
                    info.block_pos_px.y,
                    info.block_angle_rad,
                ]
                .into(),
            ),
            (
                "goal_pose",
                [info.goal_pos_px.x, info.goal_pos_px.y, info.goal_angle_rad].into(),
            ),
            ("n_contacts", Value::Int(info.n_contacts as i64)),
            ("is_success", is_success.into()),
        ]))
    }
}

/// A picture as an array, (height, width, 3).
fn picture_of(rgb: Vec<u8>, [width, height]: [usize; 2]) -> Result<Value, EnvError> {
    Array::new(&[height, width, 3], rgb)
        .map(Value::Array)
        .ok_or_else(|| EnvError::new("RuntimeError", "a picture of another size"))
}

fn reset_needed() -> EnvError {
    EnvError::new("ResetNeeded", "call `reset` before anything else")
}

/// The five values of a state.
fn state_of(name: &str, value: &Value) -> Result<[f64; STATE_DIM], EnvError> {
    value
        .as_slice()
        .and_then(|state| state.try_into().ok())
        .ok_or_else(|| EnvError::wrong_value(name, "an array of 5 f64", value))
}

impl Env for PushT {
    fn observation_space(&self) -> Space {
        let window = |len| Space::uniform_box(0.0, WINDOW_PX, &[len]);
        let shape = [
            self.options.observation_height,
            self.options.observation_width,
            3,
        ];
        let pixels = Space::uniform_box(0_u8, 255, &shape);
        match self.options.obs_type {
            ObsType::State => Space::vector_box(
                vec![0.0; STATE_DIM],
                vec![WINDOW_PX, WINDOW_PX, WINDOW_PX, WINDOW_PX, TAU],
            ),
            ObsType::EnvironmentStateAgentPos => {
                Space::dict([("environment_state", window(16)), ("agent_pos", window(2))])
            }
            ObsType::Keypoints => {
                let half = MASKED_KEYPOINTS_DIM / 2;
                Space::vector_box(
                    vec![0.0; MASKED_KEYPOINTS_DIM],
                    [vec![WINDOW_PX; half], vec![1.0; half]].concat(),
                )
            }
            ObsType::Pixels => pixels,
            ObsType::PixelsAgentPos => Space::dict([("pixels", pixels), ("agent_pos", window(2))]),
        }
    }

    fn action_space(&self) -> Space {
        Space::uniform_box(0.0, WINDOW_PX, &[2])
    }

    fn metadata(&self) -> Dict {
        dict([
            ("render_modes", Value::List(vec![RENDER_MODE.into()])),
            ("render_fps", Value::Int(RENDER_FPS)),
        ])
    }

    fn render_mode(&self) -> Option<&str> {
        Some(RENDER_MODE)
    }

    fn reset(&mut self, seed: Option<u64>, options: &Dict) -> Result<(Value, Dict), EnvError> {
        let state = match options.get("reset_to_state") {
            None | Some(Value::None) => self.reset_to_state,
            Some(value) => Some(state_of("reset_to_state", value)?),
        };
        if let Some(seed) = seed {
            self.starts = StartSequence::new(seed, self.options.seeding)?;
            self.keypoints = MaskedKeypoints::new(self.options.keypoint_visible_rate, seed);
            self.seed = seed;
        }
        let start = match state {
            Some(state) => StartState::from_state(&state),
            None => self.starts.draw(),
        };
        self.env = Some(PushTEnv::new(
            self.options.params,
            start,
            self.options.start_order,
        )?);
        Ok((self.observation()?, self.info(false)?))
    }

    fn step(&mut self, action: &Value) -> Result<Step, EnvError> {
        let action: [f64; 2] = action
            .as_slice()
            .and_then(|action| action.try_into().ok())
            .ok_or_else(|| EnvError::wrong_value("action", "an array of 2 f64", action))?;
        let step = self.env.as_mut().ok_or_else(reset_needed)?.step(action)?;
        self.last_action = Some(action);
        let mut info = self.info(step.terminated)?;
        info.insert("coverage".into(), step.coverage.into());
        Ok(Step {
            observation: self.observation()?,
            reward: step.reward,
            terminated: step.terminated,
            truncated: step.truncated,
            info,
        })
    }

    fn render(&mut self) -> Result<Value, EnvError> {
        let options = &self.options;
        let size = [options.visualization_width, options.visualization_height];
        match options.picture_style {
            PictureStyle::GymPushT => self.picture(size, self.last_action),
            PictureStyle::Smooth => self.smooth_picture(),
        }
    }

    fn get_attr(&self, name: &str) -> Result<Value, EnvError> {
        Ok(match name {
            "np_random_seed" => Value::Int(self.seed as i64),
            "state" => self.running()?.state().into(),
            "coverage" => self.running()?.coverage().into(),
            "reset_to_state" => self.reset_to_state.map_or(Value::None, Value::from),
            "render_mode" => RENDER_MODE.into(),
            _ => return Err(EnvError::no_attribute(name)),
        })
    }

    fn set_attr(&mut self, name: &str, value: Value) -> Result<(), EnvError> {
        match name {
            "reset_to_state" => {
                self.reset_to_state = match &value {
                    Value::None => None,
                    value => Some(state_of(name, value)?),
                };
                Ok(())
            }
            _ => Err(EnvError::no_attribute(name)),
        }
    }
}

/// The registry of this package's environments, [`PUSHT_ID`] and [`KEYPOINTS_ID`].
///
/// Keyword arguments: `obs_type` (`state`, `environment_state_agent_pos`, `keypoints`, `pixels`,
/// `pixels_agent_pos`), `legacy` (boolean: diffusion_policy's seeding), `keypoint_visible_rate`,
/// `damping`, `block_cog`, `goal_pose`, `success_threshold`, `max_episode_steps` (0: no limit),
/// `observation_width`, `observation_height`, `visualization_width`, `visualization_height`,
/// `picture_style` (`gym-pusht`, `smooth`).
pub fn registry() -> Registry {
    Registry::default()
        .register(PUSHT_ID, |kwargs| {
            Ok(Box::new(PushT::new(options(
                PushTOptions::default(),
                kwargs,
            )?)?))
        })
        .register(KEYPOINTS_ID, |kwargs| {
            let defaults = PushTOptions {
                obs_type: ObsType::Keypoints,
                seeding: Seeding::Legacy,
                ..PushTOptions::default()
            };
            Ok(Box::new(PushT::new(options(defaults, kwargs)?)?))
        })
}

fn options(defaults: PushTOptions, kwargs: &Dict) -> Result<PushTOptions, EnvError> {
    let mut options = defaults;
    for (name, value) in kwargs {
        let wrong = |needed| EnvError::wrong_value(name, needed, value);
        let number = || value.as_float().ok_or_else(|| wrong("a number"));
        let whole = || {
            let whole = value.as_int().and_then(|value| u32::try_from(value).ok());
            whole.ok_or_else(|| wrong("a non-negative integer"))
        };
        let side = || whole().map(|side| side as usize);
        match name.as_str() {
            "obs_type" => {
                options.obs_type = match value.as_text() {
                    Some("state") => ObsType::State,
                    Some("environment_state_agent_pos") => ObsType::EnvironmentStateAgentPos,
                    Some("keypoints") => ObsType::Keypoints,
                    Some("pixels") => ObsType::Pixels,
                    Some("pixels_agent_pos") => ObsType::PixelsAgentPos,
                    _ => {
                        return Err(wrong(
                            "state, environment_state_agent_pos, keypoints, pixels or \
                             pixels_agent_pos",
                        ));
                    }
                }
            }
            "legacy" => {
                options.seeding = match value.as_bool().ok_or_else(|| wrong("a boolean"))? {
                    true => Seeding::Legacy,
                    false => Seeding::Pcg64,
                }
            }
            "keypoint_visible_rate" => options.keypoint_visible_rate = number()?,
            "damping" => options.params.damping = number()?,
            "block_cog" => {
                let cog: [f64; 2] = value
                    .as_slice()
                    .and_then(|cog| cog.try_into().ok())
                    .ok_or_else(|| wrong("an array of 2 f64"))?;
                options.params.block_cog_px = cog.into();
            }
            "goal_pose" => {
                let goal: [f64; 3] = value
                    .as_slice()
                    .and_then(|goal| goal.try_into().ok())
                    .ok_or_else(|| wrong("an array of 3 f64"))?;
                let [x, y, angle_rad] = goal;
                options.params.goal_px = [x, y].into();
                options.params.goal_angle_rad = angle_rad;
            }
            "success_threshold" => options.params.success_threshold = number()?,
            "max_episode_steps" => {
                options.params.max_episode_steps = Some(whole()?).filter(|most| *most > 0);
            }
            "observation_width" => options.observation_width = side()?,
            "observation_height" => options.observation_height = side()?,
            "visualization_width" => options.visualization_width = side()?,
            "visualization_height" => options.visualization_height = side()?,
            "picture_style" => {
                options.picture_style = match value.as_text() {
                    Some("gym-pusht") => PictureStyle::GymPushT,
                    Some("smooth") => PictureStyle::Smooth,
                    _ => return Err(wrong("gym-pusht or smooth")),
                }
            }
            _ => {
                return Err(EnvError::new(
                    "TypeError",
                    format!("PushT takes no argument `{name}`"),
                ));
            }
        }
    }
    Ok(options)
}
