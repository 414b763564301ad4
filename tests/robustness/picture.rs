//! The picture: success against the strength of each disturbance, a curve for each policy.

use crate::svg;
use plotters::prelude::*;
use pusht_host::cmd::bench::robustness::Row;

const COLUMNS: usize = 3;
const PANEL_PX: [u32; 2] = [400, 280];
/// Policies and whether the estimator is before them.
const CURVES: [(&str, bool, &str); 4] = [
    ("pusht.ptm", true, "pusht, estimator"),
    ("pusht.ptm", false, "pusht"),
    ("pusht-small.ptm", true, "pusht-small, estimator"),
    ("pusht-small.ptm", false, "pusht-small"),
];

/// The picture as SVG.
pub fn draw(rows: &[Row]) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.strength.is_some()) {
        if !kinds.contains(&row.name.as_str()) {
            kinds.push(&row.name);
        }
    }
    svg::panels(kinds.len(), COLUMNS, PANEL_PX, |index, panel| {
        draw_panel(panel, kinds[index], rows);
    })
}

fn draw_panel(panel: &svg::Area<'_>, kind: &str, rows: &[Row]) {
    let of_kind = || rows.iter().filter(|row| row.name == kind);
    let strengths = || of_kind().filter_map(|row| row.strength);
    let least = strengths().fold(f64::INFINITY, f64::min);
    let most = strengths().fold(f64::NEG_INFINITY, f64::max);
    let mut chart = ChartBuilder::on(panel)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(45)
        .build_cartesian_2d(least..most, 0.0..1.0)
        .unwrap();
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(kind).y_desc("success").x_labels(6);
    mesh.draw().unwrap();
    for (index, (policy, estimator, name)) in CURVES.into_iter().enumerate() {
        let mut points: Vec<(f64, f64)> = of_kind()
            .filter(|row| row.policy == policy && row.estimator == estimator)
            .filter_map(|row| Some((row.strength?, row.rate())))
            .collect();
        if points.is_empty() {
            continue;
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let color = Palette99::pick(index / 2).stroke_width(if estimator { 3 } else { 1 });
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color);
        let series = chart.draw_series(LineSeries::new(points, color)).unwrap();
        series.label(name).legend(legend);
    }
    let mut labels = chart.configure_series_labels();
    labels
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK);
    labels.draw().unwrap();
}
