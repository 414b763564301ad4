//! Gymnasium's `test_vector_env_info.py`.

use crate::envs::spec;
use crate::{ALL, ints};
use pusht_gym::env::EnvSpec;
use pusht_gym::value::{Array, Dict, Value, dict};
use pusht_gym::vector::{Seed, VectorOptions, batch_infos};

fn batched(infos: &[Dict]) -> Dict {
    batch_infos(&infos.iter().map(Some).collect::<Vec<_>>())
}

fn list<const N: usize>(values: [Value; N]) -> Value {
    values.to_vec().into()
}

#[test]
fn test_vector_add_info() {
    let info = |number: i64| {
        dict([
            ("a", number.into()),
            ("b", Value::Float(number as f64)),
            ("c", Value::None),
            ("d", [0.0, 0.0].into()),
            ("e", "text".into()),
        ])
    };
    let zeros = |n| Value::Array(Array::filled(&[n, 2], 0.0));
    let expected = dict([
        ("a", ints([0])),
        ("b", [0.0].into()),
        ("c", list([Value::None])),
        ("d", zeros(1)),
        ("e", list(["text".into()])),
    ]);
    let masked = |mut infos: Dict, mask: Value| {
        for name in infos.clone().keys() {
            infos.insert(format!("_{name}"), mask.clone());
        }
        infos
    };
    assert_eq!(batched(&[info(0)]), masked(expected, [true].into()));

    let expected = dict([
        ("a", ints([0, 1, 2])),
        ("b", [0.0, 1.0, 2.0].into()),
        ("c", list([Value::None, Value::None, Value::None])),
        ("d", zeros(3)),
        ("e", list(["text".into(), "text".into(), "text".into()])),
    ]);
    assert_eq!(
        batched(&[info(0), info(1), info(2)]),
        masked(expected, [true; 3].into())
    );

    let different = [
        dict([("a", Value::Int(1)), ("b", Value::Float(1.0))]),
        dict([("c", Value::None), ("d", [0.0, 0.0].into())]),
        dict([("e", "text".into())]),
    ];
    let expected = dict([
        ("a", ints([1, 0, 0])),
        ("_a", [true, false, false].into()),
        ("b", [1.0, 0.0, 0.0].into()),
        ("_b", [true, false, false].into()),
        ("c", list([Value::None, Value::None, Value::None])),
        ("_c", [false, true, false].into()),
        ("d", zeros(3)),
        ("_d", [false, true, false].into()),
        ("e", list([Value::None, Value::None, "text".into()])),
        ("_e", [false, false, true].into()),
    ]);
    assert_eq!(batched(&different), expected);

    let episode = |a: i64, b: f64| dict([("a", a.into()), ("b", Value::Float(b))]).into();
    let nested = [
        dict([("episode", episode(1, 1.0))]),
        dict([("episode", episode(2, 2.0)), ("a", Value::Int(1))]),
        dict([("a", Value::Int(2))]),
    ];
    let both = || Value::from([true, true, false]);
    let expected = dict([
        (
            "episode",
            dict([
                ("a", ints([1, 2, 0])),
                ("b", [1.0, 2.0, 0.0].into()),
                ("_a", both()),
                ("_b", both()),
            ])
            .into(),
        ),
        ("_episode", both()),
        ("a", ints([0, 1, 2])),
        ("_a", [false, true, true].into()),
    ]);
    assert_eq!(batched(&nested), expected);
}

/// NumPy converts them to the type of the first.
#[test]
fn infos_of_mixed_types_keep_their_values() {
    // NumPy truncates the second to 1, and raises at the fourth.
    let a = |value: Value| dict([("a", value)]);
    let infos = batched(&[a(Value::Int(1)), a(Value::Float(1.5))]);
    assert_eq!(infos["a"], [1.0, 1.5].into());
    let infos = batched(&[a([1.0].into()), a([1.0, 2.0].into())]);
    assert_eq!(infos["a"], list([[1.0].into(), [1.0, 2.0].into()]));
}

fn returning(reset: Dict, step: [i64; 2]) -> EnvSpec {
    spec("Infos")
        .with("reset", reset)
        .with("step", dict([("c", step.into())]))
}

#[test]
fn test_vector_return_info() {
    for vectoriser in ALL {
        let specs = [
            returning(dict([("a", Value::Int(1))]), [1, 2]),
            returning(dict([("a", Value::Int(2)), ("b", Value::Int(3))]), [3, 4]),
        ];
        let mut envs = vectoriser.make(&specs, VectorOptions::default()).unwrap();
        let (_, infos) = envs.reset(Seed::None, &Dict::new()).unwrap();
        let expected = dict([
            ("a", ints([1, 2])),
            ("b", ints([0, 3])),
            ("_a", [true, true].into()),
            ("_b", [false, true].into()),
        ]);
        assert_eq!(infos, expected);
        let actions = Array::new(&[2, 1], vec![0.5, 0.5]).unwrap();
        let step = envs.step(&actions.into()).unwrap();
        let c = Array::new(&[2, 2], vec![1_i64, 2, 3, 4]).unwrap();
        assert_eq!(
            step.infos,
            dict([("c", c.into()), ("_c", [true, true].into())])
        );
    }
}
