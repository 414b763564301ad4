//! Times by Criterion: control steps of the simulator, plans of both shipped policies.
//!
//!     cargo bench -p pusht-tests --bench times -- --baseline committed        # beside the committed times
//!     cargo bench -p pusht-tests --bench times -- --save-baseline committed   # new ones
//!
//! The committed times are of one machine (`criterion/README.md`): elsewhere they compare machines, not commits.

mod work;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pusht_core::quant::{Model, selftest};
use pusht_host::cmd::bench::sequences::{chase, squeeze, walls};
use std::hint::black_box;
use std::time::Duration;
use work::{CONTROL_STEPS, COUNT, Work, begun, step_side_by_side_through, step_through};

const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/criterion");
const MODELS: [(&str, &[u8]); 2] = [
    ("pusht", include_bytes!("../../models/pusht.ptm")),
    (
        "pusht-small",
        include_bytes!("../../models/pusht-small.ptm"),
    ),
];

fn control_steps(criterion: &mut Criterion) {
    steps(criterion, "control_steps", step_through);
    steps(
        criterion,
        "control_steps_side_by_side",
        step_side_by_side_through,
    );
}

fn steps(criterion: &mut Criterion, name: &str, step: fn(&mut Work)) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(CONTROL_STEPS));
    for (name, sequences) in [
        ("chase", chase(COUNT)),
        ("walls", walls(COUNT)),
        ("squeeze", squeeze(COUNT)),
    ] {
        let work = begun(sequences);
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(|| work.clone(), step, BatchSize::LargeInput);
        });
    }
}

fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("integer_plan");
    for (name, file) in MODELS {
        let model = Model::parse(file).unwrap();
        let mut scratch = vec![0; model.scratch_len()];
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(selftest(black_box(&model), &mut scratch, 1)));
        });
    }
}

criterion_group! {
    name = times;
    config = Criterion::default().output_directory(RESULTS.as_ref()).sample_size(30).measurement_time(Duration::from_secs(8));
    targets = control_steps, plans
}
criterion_main!(times);
