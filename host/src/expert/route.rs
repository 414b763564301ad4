//! Shortest path around the block, over corners offset by the agent's radius and a clearance.

use pusht_core::pusht::env::Vec2;

/// Least distance of the agent's centre from the block, px: its radius of 15 and a clearance.
const KEEP_OFF_PX: f64 = 19.0;
/// Distance of path corners and push starts from the block, px.
pub const APPROACH_PX: f64 = KEEP_OFF_PX + 1.0;
/// Largest number of points of a path: out of the clearance, over all corners, to the end.
pub const MAX_POINTS: usize = 8;

/// The T's two boxes: (x from, y from), (x to, y to); the stem begins under the bar.
const BOXES: [[f64; 4]; 2] = [[-60.0, 0.0, 60.0, 30.0], [-15.0, 0.0, 15.0, 120.0]];

/// Possible corners of a path: outside the T's six convex corners.
const TURNS: [[f64; 2]; 6] = [
    [-60.0 - APPROACH_PX, -APPROACH_PX],
    [60.0 + APPROACH_PX, -APPROACH_PX],
    [60.0 + APPROACH_PX, 30.0 + APPROACH_PX],
    [-60.0 - APPROACH_PX, 30.0 + APPROACH_PX],
    [15.0 + APPROACH_PX, 120.0 + APPROACH_PX],
    [-15.0 - APPROACH_PX, 120.0 + APPROACH_PX],
];

/// Points of a path in body coordinates, px.
pub type Way = heapless::Vec<Vec2, MAX_POINTS>;

/// Shortest path from `from` to `to` with clearance from the block, in body coordinates, without
/// `from`. It first leaves the clearance if necessary. `None` if `to` is within the clearance.
pub fn way(from: Vec2, to: Vec2) -> Option<Way> {
    if is_near(to) {
        return None;
    }
    let mut way = Way::new();
    let mut start = from;
    if let Some(out) = escape(from) {
        way.push(out).ok()?;
        start = out;
    }
    if !is_free(start, to) {
        for turn in turns(start, to)? {
            way.push(turn).ok()?;
        }
    }
    way.push(to).ok()?;
    Some(way)
}

/// Corners of the shortest path between two points without a free straight line.
fn turns(start: Vec2, to: Vec2) -> Option<heapless::Vec<Vec2, 6>> {
    let turns = TURNS.map(Vec2::from);
    // Length from each corner to the end, and the next corner (Bellman-Ford, at most six rounds).
    let mut left = turns.map(|turn| match is_free(turn, to) {
        true => (to - turn).norm(),
        false => f64::INFINITY,
    });
    let mut next = [usize::MAX; 6];
    let mut changed = true;
    while changed {
        changed = false;
        for a in 0..turns.len() {
            for b in 0..turns.len() {
                let length = (turns[b] - turns[a]).norm() + left[b];
                if a != b && length < left[a] - 1e-9 && is_free(turns[a], turns[b]) {
                    (left[a], next[a], changed) = (length, b, true);
                }
            }
        }
    }
    let first = (0..turns.len())
        .filter(|&index| left[index].is_finite() && is_free(start, turns[index]))
        .min_by(|&a, &b| {
            let length = |index: usize| (turns[index] - start).norm() + left[index];
            length(a).total_cmp(&length(b))
        })?;
    let mut way = heapless::Vec::new();
    let mut at = first;
    while at != usize::MAX {
        way.push(turns[at]).ok()?;
        at = next[at];
    }
    Some(way)
}

/// Whether a point is within the clearance.
pub fn is_near(point: Vec2) -> bool {
    BOXES.iter().any(|grown| is_inside(point, grown))
}

fn is_inside(point: Vec2, [x_0, y_0, x_1, y_1]: &[f64; 4]) -> bool {
    point.x > x_0 - KEEP_OFF_PX
        && point.x < x_1 + KEEP_OFF_PX
        && point.y > y_0 - KEEP_OFF_PX
        && point.y < y_1 + KEEP_OFF_PX
}

/// Nearest point outside the clearance, for a point inside.
fn escape(point: Vec2) -> Option<Vec2> {
    if !is_near(point) {
        return None;
    }
    let exits = BOXES.iter().flat_map(|[x_0, y_0, x_1, y_1]| {
        [
            Vec2::new(x_0 - APPROACH_PX, point.y),
            Vec2::new(x_1 + APPROACH_PX, point.y),
            Vec2::new(point.x, y_0 - APPROACH_PX),
            Vec2::new(point.x, y_1 + APPROACH_PX),
        ]
    });
    let free = exits.filter(|exit| !is_near(*exit));
    free.min_by(|a, b| (a - point).norm().total_cmp(&(b - point).norm()))
}

/// Whether the straight line between two points is free of the block.
fn is_free(a: Vec2, b: Vec2) -> bool {
    BOXES.iter().all(|[x_0, y_0, x_1, y_1]| {
        // Range of the line, in 0..1, inside both slabs.
        let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
        for (from, way, low, high) in [
            (a.x, b.x - a.x, x_0 - KEEP_OFF_PX, x_1 + KEEP_OFF_PX),
            (a.y, b.y - a.y, y_0 - KEEP_OFF_PX, y_1 + KEEP_OFF_PX),
        ] {
            if way.abs() < 1e-12 {
                if from <= low || from >= high {
                    return true;
                }
                continue;
            }
            let (t_0, t_1) = ((low - from) / way, (high - from) / way);
            enter = enter.max(t_0.min(t_1));
            leave = leave.min(t_0.max(t_1));
        }
        enter >= leave
    })
}
