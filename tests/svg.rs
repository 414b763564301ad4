//! Pictures of several panels of one size, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;

/// An area of a picture.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws `n` panels of `panel_px` (width, height) in lines of `n_columns`, each by its number.
pub fn panels(
    n: usize,
    n_columns: usize,
    panel_px: [u32; 2],
    draw: impl Fn(usize, &Area<'_>),
) -> String {
    let n_lines = n.div_ceil(n_columns).max(1);
    let size = (panel_px[0] * n_columns as u32, panel_px[1] * n_lines as u32);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE).unwrap();
        let panels = area.split_evenly((n_lines, n_columns));
        for (index, panel) in panels.iter().take(n).enumerate() {
            draw(index, panel);
        }
        area.present().unwrap();
    }
    svg
}
