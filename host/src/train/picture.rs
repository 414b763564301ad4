//! The table of a run as a picture: losses above, scores below.

use anyhow::{Context, Result, anyhow};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
/// (step, value)
type Points = Vec<(f64, f64)>;

/// Draws `table` (the log as CSV) as SVG.
///
/// # Errors
/// If it is no such table.
pub fn draw(table: &str) -> Result<String> {
    let column = |name: &str| points(table, name);
    let losses = [
        ("loss", column("loss")?),
        ("held out", column("validation_loss")?),
    ];
    let scores = [
        ("mean max reward", column("mean_max_reward")?),
        ("mean max coverage", column("mean_max_coverage")?),
        ("success rate", column("success_rate")?),
    ];
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (800, 600)).into_drawing_area();
    let draw = || -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        let all = || losses.iter().flat_map(|(_, points)| points);
        let lowest = all().map(|p| p.1).fold(f64::INFINITY, f64::min).max(1e-6);
        let highest = all().map(|p| p.1).fold(0.0, f64::max).max(10.0 * lowest);
        let has_scores = scores.iter().any(|(_, points)| !points.is_empty());
        if has_scores {
            let (upper, lower) = area.split_vertically(300);
            chart(&upper, (lowest..highest).log_scale(), &losses)?;
            chart(&lower, 0.0..1.0, &scores)?;
        } else {
            chart(&area, (lowest..highest).log_scale(), &losses)?;
        }
        area.present()?;
        Ok(())
    };
    draw().map_err(|error| anyhow!("can't draw the log: {error}"))?;
    drop(area);
    Ok(svg)
}

/// The rows that have a number in column `name`.
fn points(table: &str, name: &str) -> Result<Points> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let at = (reader.headers()?.iter().position(|header| header == name))
        .with_context(|| format!("the log has no column {name}"))?;
    let rows = reader.records().map(|row| {
        let row = row?;
        let number = |column: usize| row.get(column).and_then(|cell| cell.parse::<f64>().ok());
        Ok(number(0).zip(number(at)))
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    Ok(rows.into_iter().flatten().collect())
}

fn chart<Y>(
    area: &Area<'_>,
    y_range: Y,
    curves: &[(&str, Points)],
) -> Result<(), Box<dyn std::error::Error>>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let last = curves.iter().flat_map(|(_, points)| points.last());
    let last = last.map(|p| p.0).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..last, y_range)?;
    chart.configure_mesh().x_desc("step").draw()?;
    for (index, (name, points)) in curves.iter().enumerate() {
        if points.is_empty() {
            continue;
        }
        let color = Palette99::pick(index).stroke_width(2);
        let line = LineSeries::new(points.iter().copied(), color);
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color);
        chart.draw_series(line)?.label(*name).legend(legend);
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    Ok(())
}
