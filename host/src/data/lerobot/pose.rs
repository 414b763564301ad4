//! The block's pose from its corners.

use pusht_core::pusht::observation::BLOCK_VERTICES_PX;
use std::f64::consts::TAU;

/// Values of `observation.environment_state`: x, y of eight corners.
pub const CORNERS_DIM: usize = 2 * BLOCK_VERTICES_PX.len();

/// Fits the pose x, y (px), angle (rad, 0 to 2 pi) of the T to its corners, in gym-pusht's order.
/// Also returns the largest distance of a corner from the fitted one, px.
///
/// The least-squares rotation between two centred sets of points in the plane is the angle of the
/// sum of p* q, with the points as complex numbers (Procrustes).
pub fn fit(corners: &[f64; CORNERS_DIM]) -> ([f64; 3], f64) {
    let corners = corners.as_chunks::<2>().0;
    let mean = |points: &[[f64; 2]]| {
        let sum = points
            .iter()
            .fold([0.0; 2], |[x, y], [px, py]| [x + px, y + py]);
        sum.map(|v| v / points.len() as f64)
    };
    let (local_mean, mean) = (mean(&BLOCK_VERTICES_PX), mean(corners));
    let [mut dot, mut cross] = [0.0; 2];
    for ([x, y], [u, v]) in BLOCK_VERTICES_PX.iter().zip(corners) {
        let ([x, y], [u, v]) = (
            [x - local_mean[0], y - local_mean[1]],
            [u - mean[0], v - mean[1]],
        );
        dot += x * u + y * v;
        cross += x * v - y * u;
    }
    let angle = cross.atan2(dot);
    let (sin, cos) = angle.sin_cos();
    let turned = |[x, y]: [f64; 2]| [cos * x - sin * y, sin * x + cos * y];
    let [x, y] = turned(local_mean);
    let origin = [mean[0] - x, mean[1] - y];
    let distances = BLOCK_VERTICES_PX
        .iter()
        .zip(corners)
        .map(|(local, [u, v])| {
            let [x, y] = turned(*local);
            (x + origin[0] - u).hypot(y + origin[1] - v)
        });
    let largest = distances.fold(0.0, f64::max);
    ([origin[0], origin[1], angle.rem_euclid(TAU)], largest)
}
