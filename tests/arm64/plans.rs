//! Plans of a shipped policy, for a processor whose instructions somebody counts: `plans MODEL
//! alone|together ROUNDS`, with the model's place among `MODELS`, makes eight plans a round.

#[path = "../benches/plans.rs"]
mod plans;

use plans::Plans;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, batching, n_rounds] = &arguments[..] else {
        panic!("plans MODEL alone|together ROUNDS");
    };
    let mut plans = Plans::of(model.parse().unwrap());
    for _ in 0..n_rounds.parse().unwrap() {
        match batching.as_str() {
            "alone" => plans.alone(),
            _ => plans.together(),
        }
    }
}
