//! PushT as an [`Env`]: gym-pusht's `PushTEnv` and diffusion_policy's `PushTKeypointsEnv`.

mod options;
mod registry;
mod start;

pub use options::{ObsType, PictureStyle, PushTOptions};
pub use registry::{KEYPOINTS_ID, PUSHT_ID, registry};
pub(crate) use start::start_of;

use crate::env::{Env, EnvError, Step};
use crate::pixels::{Frame, Renderer};
use crate::space::Space;
use crate::value::{Array, Dict, Value, dict};
use options::numbers;
use pusht_core::pusht::env::{PushTEnv, StartSequence, StartState, WINDOW_PX};
use pusht_core::pusht::observation::{
    MASKED_KEYPOINTS_DIM, MaskedKeypoints, ObservationKind, STATE_DIM, observe,
};
use rand::TryRng;
use std::f64::consts::TAU;

/// Control steps per second.
const RENDER_FPS: i64 = 10;
/// gym-pusht's render mode for pictures as arrays.
const RENDER_MODE: &str = "rgb_array";

/// PushT behind the Gymnasium interface; the simulator is [`PushTEnv`].
///
/// Options of a reset: `reset_to_state` (agent x, y, block x, y, px; block angle, rad), and
/// `start_order` (`legacy`, `angle_first`), the order in which that state is set. `angle_first`
/// puts the block where a recorded state has it.
#[derive(Clone, Debug)]
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
    /// Those of [`PushTOptions::check`]; if the operating system provides no random numbers.
    pub fn new(options: PushTOptions) -> Result<Self, EnvError> {
        options.check()?;
        // Within the legacy seeding's range.
        let seed = u64::from(rand::rngs::SysRng.try_next_u32()?);
        Ok(Self {
            seed,
            starts: StartSequence::new(seed, options.seeding)?,
            keypoints: MaskedKeypoints::new(options.keypoint_visible_rate, seed)?,
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
        let info = self.running()?.info();
        let scene = Scene {
            state: self.running()?.state(),
            goal: [info.goal_pos_px.x, info.goal_pos_px.y, info.goal_angle_rad],
            target: self.last_action,
            plan: &[],
        };
        let picture = draw(&scene, width as u32)?;
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
            ("n_contacts", info.n_contacts.into()),
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
            ("render_fps", RENDER_FPS.into()),
        ])
    }

    fn render_mode(&self) -> Option<&str> {
        Some(RENDER_MODE)
    }

    fn reset(&mut self, seed: Option<u64>, options: &Dict) -> Result<(Value, Dict), EnvError> {
        let start = start_of(options, self.reset_to_state)?;
        if let Some(seed) = seed {
            self.starts = StartSequence::new(seed, self.options.seeding)?;
            self.keypoints = MaskedKeypoints::new(self.options.keypoint_visible_rate, seed)?;
            self.seed = seed;
        }
        let (start, order) = match start {
            Some((state, order)) => (StartState::from_state(&state), order),
            None => (self.starts.draw(), None),
        };
        let order = order.unwrap_or(self.options.start_order);
        self.env = Some(PushTEnv::new(self.options.params, start, order)?);
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
            "np_random_seed" => self.seed.into(),
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
                    value => Some(numbers(name, value)?),
                };
                Ok(())
            }
            _ => Err(EnvError::no_attribute(name)),
        }
    }
}
