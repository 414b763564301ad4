//! Random valid and invalid calls, to which every transport gives the same answer.

use crate::envs::spec;
use crate::{ASYNC, Vectoriser};
use pusht_gym::pusht::PUSHT_ID;
use pusht_gym::space::{Pcg64, Space, seeded};
use pusht_gym::value::{Array, Dict, Value, dict};
use pusht_gym::vector::{AutoresetMode, Seed, VectorEnv, VectorError, VectorOptions, VectorStep};

const NUM_ENVS: usize = 3;
const CALLS: usize = 60;

#[derive(Clone, Debug)]
enum Call {
    Step(Value),
    Reset(Seed, Dict),
    GetAttr(&'static str),
    SetAttr(&'static str, Value),
    Method(&'static str),
}

#[derive(Debug, PartialEq)]
enum Answer {
    Step(VectorStep),
    Reset(Value, Dict),
    Values(Vec<Value>),
    Done,
    Refused(VectorError),
}

fn below(n: i64, random: &mut Pcg64) -> i64 {
    Space::discrete(n).sample(random).as_int().unwrap_or(0)
}

fn draw(random: &mut Pcg64) -> Call {
    let actions =
        |rows: usize, random: &mut Pcg64| Space::uniform_box(0.0, 512.0, &[rows, 2]).sample(random);
    match below(20, random) {
        0 => Call::Step(actions(below(6, random) as usize, random)),
        1 => {
            let mut values = actions(NUM_ENVS, random)
                .as_slice::<f64>()
                .unwrap()
                .to_vec();
            values[below(6, random) as usize] = f64::NAN;
            Call::Step(Array::new(&[NUM_ENVS, 2], values).unwrap().into())
        }
        2 => {
            // Too far for one environment, which refuses.
            let mut values = actions(NUM_ENVS, random)
                .as_slice::<f64>()
                .unwrap()
                .to_vec();
            values[below(6, random) as usize] = f64::MAX;
            Call::Step(Array::new(&[NUM_ENVS, 2], values).unwrap().into())
        }
        3 => Call::Reset(Seed::None, Dict::new()),
        4 => Call::Reset(Seed::Int(below(100, random) as u64), Dict::new()),
        5 => {
            let seeds = (0..2 + below(3, random)).map(|_| Some(below(9, random) as u64));
            Call::Reset(Seed::List(seeds.collect()), Dict::new())
        }
        6..=8 => {
            let len = [NUM_ENVS, NUM_ENVS, NUM_ENVS, 2][below(4, random) as usize];
            let mask: Vec<bool> = (0..len).map(|_| below(2, random) == 1).collect();
            Call::Reset(Seed::None, dict([("reset_mask", mask.into())]))
        }
        9 => Call::GetAttr(["state", "coverage", "nothing"][below(3, random) as usize]),
        10 => Call::SetAttr("reset_to_state", Value::None),
        11 => {
            let state = Space::uniform_box(100.0, 400.0, &[5]).sample(random);
            let states = [state, Value::None, Value::Int(1)];
            Call::SetAttr(
                "reset_to_state",
                states[..2 + below(2, random) as usize].to_vec().into(),
            )
        }
        12 => Call::Method(["coverage", "reset"][below(2, random) as usize]),
        _ => Call::Step(actions(NUM_ENVS, random)),
    }
}

fn answer(envs: &mut dyn VectorEnv, call: &Call) -> Answer {
    let answered = match call {
        Call::Step(actions) => envs.step(actions).map(Answer::Step),
        Call::Reset(seed, options) => envs
            .reset(seed.clone(), options)
            .map(|(observations, infos)| Answer::Reset((*observations).clone(), infos)),
        Call::GetAttr(name) => envs.get_attr(name).map(Answer::Values),
        Call::SetAttr(name, value) => envs.set_attr(name, value).map(|()| Answer::Done),
        Call::Method(name) => envs.call(name, &[]).map(Answer::Values),
    };
    answered.unwrap_or_else(Answer::Refused)
}

#[test]
fn every_transport_answers_alike() {
    let (mut refused, mut answered) = (0, 0);
    for autoreset_mode in [
        AutoresetMode::NextStep,
        AutoresetMode::SameStep,
        AutoresetMode::Disabled,
    ] {
        for seed in 0..3 {
            let options = |copy| VectorOptions {
                autoreset_mode,
                copy,
                ..VectorOptions::default()
            };
            let specs = vec![spec(PUSHT_ID).with("max_episode_steps", 4_i64); NUM_ENVS];
            let mut sync = Vectoriser::Sync.make(&specs, options(true)).unwrap();
            let mut others =
                ASYNC.map(|vectoriser| vectoriser.make(&specs, options(false)).unwrap());
            let mut random = seeded(seed);
            let start = Call::Reset(Seed::Int(seed), Dict::new());
            let calls = std::iter::once(start).chain((0..CALLS).map(|_| draw(&mut random)));
            for (at, call) in calls.enumerate() {
                let expected = answer(&mut *sync, &call);
                match expected {
                    Answer::Refused(_) => refused += 1,
                    _ => answered += 1,
                }
                for (envs, vectoriser) in others.iter_mut().zip(ASYNC) {
                    let ours = answer(&mut **envs, &call);
                    assert_eq!(
                        ours, expected,
                        "{vectoriser:?}, seed {seed}, call {at}: {call:?}"
                    );
                }
            }
        }
    }
    assert!(
        refused > 50 && answered > 300,
        "{refused} refused, {answered} answered"
    );
}
