//! Outline of the T in body coordinates.

use pusht_core::pusht::env::Vec2;

/// Corners of the T in order, px.
pub const CORNERS_PX: [[f64; 2]; 8] = [
    [-60.0, 0.0],
    [60.0, 0.0],
    [60.0, 30.0],
    [15.0, 30.0],
    [15.0, 120.0],
    [-15.0, 120.0],
    [-15.0, 30.0],
    [-60.0, 30.0],
];

/// Length of the outline, px.
pub const LENGTH_PX: f64 = 480.0;

/// Point at the distance `along` on the closed outline (px, any number), with the outward normal.
pub fn at(along: f64) -> (Vec2, Vec2) {
    let mut left = along.rem_euclid(LENGTH_PX);
    for index in 0..CORNERS_PX.len() {
        let from = Vec2::from(CORNERS_PX[index]);
        let way = Vec2::from(CORNERS_PX[(index + 1) % CORNERS_PX.len()]) - from;
        let length = way.norm();
        if left < length || index + 1 == CORNERS_PX.len() {
            let direction = way / length;
            return (
                from + direction * left,
                Vec2::new(direction.y, -direction.x),
            );
        }
        left -= length;
    }
    unreachable!("the last face takes what is left")
}
