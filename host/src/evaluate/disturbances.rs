//! Disturbances by name, and the standard set.

use anyhow::{Context, Result, bail, ensure};
use pusht_core::pusht::disturbance::{Disturbances, Goal, Latency, PoseAmount, Shoves};

/// What `--disturb` takes, for its help.
pub const NAMES: &str = "\
Disturbances, NAME=VALUE (px, rad, ticks of 0.1 s; a value drawn by chance depends on the seed):
  observation-noise=PX,RAD      white noise on positions and angle, standard deviations
  observation-offset=PX,RAD     constant error in a direction of the episode
  observation-latency=N         observations N ticks late, at most 8; A-B: drawn for the
                                episode; A~B: drawn for each tick
  observation-loss=SHARE        lost observations: the last one is seen again
  action-latency=N              the same for actions
  action-noise=PX               white noise on executed actions
  dead-zone=PX                  nearer targets do not move the agent
  shoves=PX,RAD,SHARE           the block is shoved in this share of the ticks
  agent-radius=PX               instead of 15
  agent-speed=PX_PER_S          speed limit of the agent
  block=corrected               centre of gravity and inertia without gym-pusht's quirks
  block-inertia=PX2             instead of 3000 (mass 1)
  block-cog=PX                  centre of gravity below the top of the T, instead of 45
  damping=SHARE                 speed that the block keeps per second, instead of 0
  block-size=FACTOR             of the T and its goal
  goal=X,Y,RAD                  another goal pose; the policy sees the scene in its frame
  goal=anywhere,PX              drawn, with the T at least PX from the walls, at most 150";

/// The standard set: names, and what each is made of.
pub const STANDARD: [(&str, &[&str]); 22] = [
    ("none", &[]),
    ("observation noise", &["observation-noise=4,0.04"]),
    ("observation offset", &["observation-offset=2,0.02"]),
    (
        "observations 0 to 3 ticks late",
        &["observation-latency=0-3"],
    ),
    ("observations late, varying", &["observation-latency=0~3"]),
    ("observations lost", &["observation-loss=0.3"]),
    ("actions 0 to 3 ticks late", &["action-latency=0-3"]),
    ("actions late, varying", &["action-latency=0~3"]),
    ("action noise", &["action-noise=5"]),
    ("dead zone", &["dead-zone=5"]),
    ("shoves", &["shoves=15,0.15,0.02"]),
    ("smaller agent", &["agent-radius=12"]),
    ("larger agent", &["agent-radius=18"]),
    ("slower agent", &["agent-speed=150"]),
    ("corrected block", &["block=corrected"]),
    ("gliding block", &["damping=0.01"]),
    ("smaller T", &["block-size=0.95"]),
    ("larger T", &["block-size=1.05"]),
    ("smallest T", &["block-size=0.9"]),
    ("largest T", &["block-size=1.1"]),
    ("goal turned", &["goal=256,256,3.1"]),
    ("goal anywhere", &["goal=anywhere,60"]),
];

/// The disturbances of several `NAME=VALUE`, together.
///
/// # Errors
/// If one has another form, or a value out of its range.
pub fn parse_all<T: AsRef<str>>(texts: &[T]) -> Result<Disturbances> {
    let mut all = Disturbances::default();
    for text in texts {
        add(&mut all, text.as_ref())?;
    }
    Ok(all)
}

/// Checks one `NAME=VALUE` of the command line.
///
/// # Errors
/// As [`parse_all`].
pub fn parse_one(text: &str) -> Result<String> {
    parse_all(&[text])?;
    Ok(text.to_owned())
}

fn add(to: &mut Disturbances, text: &str) -> Result<()> {
    let (name, value) = text
        .split_once('=')
        .with_context(|| format!("`{text}` is not NAME=VALUE"))?;
    set(to, name, value).with_context(|| format!("disturbance `{text}`"))?;
    // The values' ranges.
    to.params(0)
        .with_context(|| format!("disturbance `{text}`"))?;
    Ok(())
}

fn set(to: &mut Disturbances, name: &str, value: &str) -> Result<()> {
    match name {
        "observation-noise" => to.observation_noise = pose(value)?,
        "observation-offset" => to.observation_offset = pose(value)?,
        "observation-latency" => to.observation_latency = latency(value)?,
        "observation-loss" => to.observation_loss = one(value)?,
        "action-latency" => to.action_latency = latency(value)?,
        "action-noise" => to.action_noise_px = one(value)?,
        "dead-zone" => to.dead_zone_px = one(value)?,
        "shoves" => {
            let [px, rad, share] = numbers(value)?;
            let by = PoseAmount { px, rad };
            to.shoves = Shoves { by, share };
        }
        "agent-radius" => to.agent_radius_px = Some(one(value)?),
        "agent-speed" => to.agent_speed_limit = Some(one(value)?),
        "block" => {
            ensure!(value == "corrected", "only `corrected` is known");
            to.corrected_block = true;
        }
        "block-inertia" => to.block_inertia = Some(one(value)?),
        "block-cog" => to.block_cog_px = Some(one(value)?),
        "damping" => to.damping = Some(one(value)?),
        "block-size" => to.block_size = Some(one(value)?),
        "goal" => {
            to.goal = match value.strip_prefix("anywhere,") {
                Some(margin) => Goal::Anywhere(one(margin)?),
                None => {
                    let [x, y, angle_rad] = numbers(value)?;
                    Goal::At(x, y, angle_rad)
                }
            }
        }
        _ => bail!("no disturbance has this name; `pusht eval --help` lists them"),
    }
    Ok(())
}

fn pose(value: &str) -> Result<PoseAmount> {
    let [px, rad] = numbers(value)?;
    Ok(PoseAmount { px, rad })
}

fn one(value: &str) -> Result<f64> {
    let [number] = numbers(value)?;
    Ok(number)
}

fn numbers<const N: usize>(value: &str) -> Result<[f64; N]> {
    let numbers: Result<Vec<f64>, _> = value.split(',').map(str::parse).collect();
    let numbers = numbers.ok().filter(|all| all.iter().all(|n| n.is_finite()));
    let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
    numbers.with_context(|| match N {
        1 => "a number is needed".to_owned(),
        _ => format!("{N} numbers, separated by commas, are needed"),
    })
}

fn latency(value: &str) -> Result<Latency> {
    let (bounds, varies) = match (value.split_once('-'), value.split_once('~')) {
        (Some(bounds), _) => (bounds, false),
        (_, Some(bounds)) => (bounds, true),
        _ => ((value, value), false),
    };
    let (Ok(least), Ok(most)) = (bounds.0.parse(), bounds.1.parse()) else {
        bail!("a latency is N, A-B or A~B");
    };
    Ok(Latency {
        least,
        most,
        varies,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disturbances_add_up() {
        let all = parse_all(&[
            "observation-noise=4,0.04",
            "action-latency=0~3",
            "goal=anywhere,60",
        ]);
        let expected = Disturbances {
            observation_noise: PoseAmount { px: 4.0, rad: 0.04 },
            action_latency: Latency {
                least: 0,
                most: 3,
                varies: true,
            },
            goal: Goal::Anywhere(60.0),
            ..Disturbances::default()
        };
        assert_eq!(all.unwrap(), expected);
    }

    #[test]
    fn the_standard_set_is_sound_and_its_members_differ() {
        let set = STANDARD.map(|(_, texts)| parse_all(texts).unwrap());
        for (index, one) in set.iter().enumerate() {
            assert!(!set[..index].contains(one), "{}", STANDARD[index].0);
        }
        assert_eq!(set[0], Disturbances::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("noise", "not NAME=VALUE"),
            ("noise=3", "lists them"),
            ("observation-noise=4", "2 numbers"),
            ("observation-loss=1.5", "observation_loss is out of range"),
            ("action-latency=3-1", "action_latency is out of range"),
            ("action-latency=x", "A-B or A~B"),
            ("block-size=nan", "a number is needed"),
            ("goal=anywhere,900", "goal is out of range"),
        ] {
            let error = format!("{:#}", parse_one(text).unwrap_err());
            assert!(error.contains(part) && error.contains(text), "{error}");
        }
    }
}
