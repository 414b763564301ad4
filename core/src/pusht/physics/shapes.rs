//! Collision shapes: a disc, a T of two boxes, four walls.

use crate::pusht::geometry::{Aabb, Pose, Vec2};
use crate::pusht::observation::BLOCK_VERTICES_PX;

/// Radius of the agent's disc, px (gym-pusht `add_circle`).
pub const AGENT_RADIUS_PX: f64 = 15.0;
/// Radius of the walls' rounded segments, px (gym-pusht `_setup`).
pub const WALL_RADIUS_PX: f64 = 2.0;
/// End points `[x, y]` of the walls' centre lines, px, in the order in which gym-pusht adds them.
pub const WALL_ENDS_PX: [[[f64; 2]; 2]; N_WALLS] = [
    [[5.0, 506.0], [5.0, 5.0]],
    [[5.0, 5.0], [506.0, 5.0]],
    [[506.0, 5.0], [506.0, 506.0]],
    [[5.0, 506.0], [506.0, 506.0]],
];
/// Where the walls' centre lines begin and end in x and in y, px.
pub(super) const WALLS_FROM_PX: f64 = WALL_ENDS_PX[1][0][0];
pub(super) const WALLS_TO_PX: f64 = WALL_ENDS_PX[1][1][0];
/// Number of walls.
pub const N_WALLS: usize = 4;
/// Number of boxes of the block: the bar and the stem of the T.
pub const N_BOXES: usize = 2;

/// A static segment with rounded ends.
pub(crate) struct Wall {
    pub(crate) ends: [Vec2; 2],
    /// Unit normal to the right of the direction from the first end to the second.
    pub(crate) normal: Vec2,
    pub(crate) bounds: Aabb,
}

pub(crate) const WALLS: [Wall; N_WALLS] = {
    let [a, b, c, d] = WALL_ENDS_PX;
    [wall(a), wall(b), wall(c), wall(d)]
};

const fn wall([[ax, ay], [bx, by]]: [[f64; 2]; 2]) -> Wall {
    let [normal_x, normal_y] = right_normal([bx - ax, by - ay]);
    let r = WALL_RADIUS_PX;
    Wall {
        ends: [Vec2::new(ax, ay), Vec2::new(bx, by)],
        normal: Vec2::new(normal_x, normal_y),
        bounds: Aabb {
            min: Vec2::new(ax.min(bx) - r, ay.min(by) - r),
            max: Vec2::new(ax.max(bx) + r, ay.max(by) + r),
        },
    }
}

/// The unit normal to the right of an edge that is parallel to an axis.
const fn right_normal([x, y]: [f64; 2]) -> [f64; 2] {
    assert!(x == 0.0 || y == 0.0);
    let scale = 1.0 / (x.abs() + y.abs());
    [y * scale, -x * scale]
}

/// A box of the block in world coordinates, px. Edge `i` runs from vertex `i - 1` to vertex `i`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct BoxShape {
    pub(crate) vertices: [Vec2; 4],
    pub(crate) bounds: Aabb,
}

impl BoxShape {
    /// The bar and the stem of a block at `pose`, `scale` times as large as [`BOXES`].
    pub(crate) fn of_block(pose: &Pose, scale: f64) -> [Self; N_BOXES] {
        let mut boxes = BOXES.map(|vertices| Self::new(&vertices, pose));
        Self::update(&mut boxes, pose, scale);
        boxes
    }

    /// Moves the bar and the stem to a block at `pose`.
    pub(crate) fn update(boxes: &mut [Self; N_BOXES], pose: &Pose, scale: f64) {
        let scaled;
        let usual = match scale == 1.0 {
            true => &BOXES,
            false => {
                scaled = scaled_boxes(scale);
                &scaled
            }
        };
        for (shape, vertices) in boxes.iter_mut().zip(usual) {
            *shape = Self::new(vertices, pose);
        }
    }

    #[inline]
    fn new(vertices: &[Vec2; 4], pose: &Pose) -> Self {
        let vertices = vertices.map(|vertex| pose.transform(vertex));
        Self {
            vertices,
            bounds: Aabb::of_points(&vertices),
        }
    }
}

/// Vertices of the boxes in body coordinates, px.
pub(crate) const BOXES: [[Vec2; 4]; N_BOXES] = {
    let v = BLOCK_VERTICES_PX;
    [
        [vec2(v[0]), vec2(v[1]), vec2(v[2]), vec2(v[3])],
        [vec2(v[4]), vec2(v[5]), vec2(v[6]), vec2(v[7])],
    ]
};

/// [`BOXES`], `scale` times as large.
#[cold]
pub(crate) fn scaled_boxes(scale: f64) -> [[Vec2; 4]; N_BOXES] {
    BOXES.map(|vertices| vertices.map(|vertex| vertex * scale))
}

const fn vec2([x, y]: [f64; 2]) -> Vec2 {
    Vec2::new(x, y)
}

/// Outward unit normals of the boxes' edges in body coordinates.
pub(crate) const BOX_NORMALS: [[Vec2; 4]; N_BOXES] = {
    let mut normals = [[Vec2::new(0.0, 0.0); 4]; N_BOXES];
    let mut vertex = 0;
    while vertex < BLOCK_VERTICES_PX.len() {
        let (index, edge) = (vertex / 4, vertex % 4);
        let [to_x, to_y] = BLOCK_VERTICES_PX[vertex];
        let [from_x, from_y] = BLOCK_VERTICES_PX[4 * index + (edge + 3) % 4];
        normals[index][edge] = vec2(right_normal([to_x - from_x, to_y - from_y]));
        vertex += 1;
    }
    normals
};

const _: () = {
    let mut edge = 0;
    while edge < 4 {
        let [[[a, b]], [[c, d]]] = [BOX_NORMALS[0][edge].data.0, BOX_NORMALS[1][edge].data.0];
        assert!(a == c && b == d, "both boxes have the same normals");
        edge += 1;
    }
};
