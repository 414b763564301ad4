//! Success against size and cost: a table and a picture, of `tests/figures/size_frontier.json`.

use crate::{Table, result, svg};
use plotters::prelude::*;
use serde::Deserialize;

const PANEL_PX: [u32; 2] = [600, 420];
/// Success shown in the picture.
const SHOWN: std::ops::Range<f64> = 0.935..1.002;
/// Height of a label, in success.
const LABEL: f64 = 0.0023;

/// A policy in integers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Name; those that are not shipped any more say so.
    policy: String,
    parameters: u64,
    /// Bits of the weights.
    bits: String,
    passes: u32,
    bytes: u64,
    /// Instructions of a plan.
    on_m4: u64,
    on_m0: u64,
    n_episodes: u64,
    n_successes: u64,
    /// 95 % interval of the success.
    ci95: [f64; 2],
}

impl Row {
    fn success(&self) -> f64 {
        self.n_successes as f64 / self.n_episodes as f64
    }
}

/// The table.
pub fn table() -> Table {
    let millions = |instructions: u64| format!("{:.2}", instructions as f64 / 1e6);
    let cells = |row: &Row| {
        let [low, high] = row.ci95.map(|share| 100.0 * share);
        vec![
            row.policy.clone(),
            super::grouped(row.parameters),
            row.bits.clone(),
            row.passes.to_string(),
            super::grouped(row.bytes),
            millions(row.on_m4),
            millions(row.on_m0),
            format!("{:.2} % ({low:.1} to {high:.1})", 100.0 * row.success()),
        ]
    };
    Table {
        title: "Size, cost and success".to_owned(),
        about:
            "The policies of this repository, and those that were shipped before, with weights of 8, of 4 \
                and of mixed bits, in one or more passes; 2,000 episodes per row, legacy seeds 400000 to 401999, which had no \
                part in training or selection. Instructions of a plan in millions, on a Cortex-M4F \
                (`mps2-an386`) and with a Cortex-M0+'s instructions (`mps2-an385-v6m`)."
                .to_owned(),
        machine: "any for success; QEMU, `-icount`, for instructions".to_owned(),
        command: "`pusht quantize --policy models/NAME.safetensors --passes N --n-action-steps N \
                  --weight-bits BITS --max-bytes N`, `pusht eval --seeds 400000..402000`, \
                  `cargo firmware bench --board NAME --model FILE`; table and picture: \
                  `cargo verify figures`"
            .to_owned(),
        measured: "2026-11-29".to_owned(),
        columns: super::words(&[
            "policy",
            "parameters",
            "bits",
            "passes",
            "model file, bytes",
            "Cortex-M4F",
            "Cortex-M0+",
            "success (95 % interval)",
        ]),
        rows: rows().iter().map(cells).collect(),
        notes: "![Success against bytes, and against instructions on a Cortex-M4F](frontier.svg)"
            .to_owned(),
    }
}

/// The picture as SVG.
pub fn picture() -> String {
    let rows = rows();
    svg::panels(2, 2, PANEL_PX, |index, panel| match index {
        0 => draw(panel, &rows, "bytes of the model file, KiB", |row| {
            row.bytes as f64 / 1024.0
        }),
        _ => draw(
            panel,
            &rows,
            "instructions of a plan on a Cortex-M4F, millions",
            |row| row.on_m4 as f64 / 1e6,
        ),
    })
}

fn draw(panel: &svg::Area<'_>, rows: &[Row], what: &str, of: impl Fn(&Row) -> f64) {
    let most = rows.iter().map(&of).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(panel)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..1.4 * most, SHOWN)
        .unwrap();
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(what).y_desc("success").max_light_lines(0);
    mesh.draw().unwrap();
    let mut labels: Vec<(f64, f64, f64)> = Vec::new();
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by(|a, b| of(a).total_cmp(&of(b)));
    for row in rows {
        let (x, y, [low, high]) = (of(row), row.success(), row.ci95);
        let color = Palette99::pick(match row.passes {
            1 => 0,
            2 => 3,
            _ => 1,
        });
        let interval = PathElement::new([(x, low), (x, high)], &color);
        chart.draw_series([interval]).unwrap();
        chart
            .draw_series([Circle::new((x, y), 3, color.filled())])
            .unwrap();
        let name = format!("{}, {} bits, {}", row.policy, row.bits, passes(row.passes));
        let begin = x + 0.015 * most;
        let end = begin + 0.0105 * most * name.len() as f64;
        // Lower where another label is in the way.
        let is_free = |at: &f64| {
            let mut others = labels.iter();
            others.all(|(y, from, to)| (y - at).abs() >= LABEL || end < *from || *to < begin)
        };
        let at = (0..).map(|n| y - LABEL * f64::from(n)).find(is_free);
        let at = at.unwrap_or(y);
        labels.push((at, begin, end));
        let label = Text::new(name, (begin, at), ("sans-serif", 11));
        chart.draw_series([label]).unwrap();
    }
}

fn passes(n: u32) -> String {
    format!("{n} pass{}", if n == 1 { "" } else { "es" })
}

fn rows() -> Vec<Row> {
    result("size_frontier")
}
