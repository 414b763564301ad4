//! A picture of the scene: goal, walls, block, agent, target position and planned path, in
//! gym-pusht's colours, at any size and anti-aliased.

use crate::pixels::colors::{
    AGENT_INSIDE, BLOCK_INSIDE, LIGHT_GRAY, LIGHT_GREEN, LIGHT_SLATE_GRAY, RED, ROYAL_BLUE, Rgb,
    WHITE,
};
use crate::pixels::{MAX_SIDE, PictureError};
use pusht_core::pusht::observation::BLOCK_VERTICES_PX;
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, Transform,
};

/// Edge of the scene, px of the environment.
const WINDOW_PX: f32 = 512.0;
/// Radius of the agent, px of the environment.
const AGENT_RADIUS_PX: f32 = 15.0;
/// Corners of the walls and their radius, px of the environment (`gym_pusht/envs/pusht.py`,
/// `_setup`).
const WALL_MIN_PX: f32 = 5.0;
const WALL_MAX_PX: f32 = 506.0;
const WALL_RADIUS_PX: f32 = 2.0;

/// Half the breadth of the block's outline, px of the environment
/// (`gym_pusht/envs/pymunk_override.py`, `draw_polygon`).
const OUTLINE_RADIUS_PX: f32 = 2.0;
/// Breadth of the agent's rim, px of the environment (the same, `draw_circle`).
const RIM_PX: f32 = 4.0;
/// The target's cross: a twelfth of the picture long, a 96th thick (`gym_pusht/envs/pusht.py`,
/// `_get_img`).
const CROSS_ARM_PX: f32 = WINDOW_PX / 24.0;
const CROSS_WIDTH_PX: f32 = WINDOW_PX / 96.0;
/// Thickness of the planned path and radius of its points, px of the environment.
const PLAN_WIDTH_PX: f32 = 2.0;
const PLAN_RADIUS_PX: f32 = 4.0;
/// Least thickness of a line, pixels, so that a small picture still shows it.
const MIN_LINE_WIDTH: f32 = 1.0;

/// Colour of the plan, which gym-pusht does not show.
const ORANGE: Rgb = [255, 140, 0];
/// The colours of a scene, the background first.
pub const COLORS: [Rgb; 9] = [
    WHITE,
    LIGHT_GREEN,
    LIGHT_GRAY,
    LIGHT_SLATE_GRAY,
    ROYAL_BLUE,
    AGENT_INSIDE,
    BLOCK_INSIDE,
    RED,
    ORANGE,
];

/// What a frame shows.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Agent x, y, block x, y (px), block angle (rad).
    pub state: [f64; 5],
    /// Goal x, y (px), angle (rad).
    pub goal: [f64; 3],
    /// Where the agent is told to go, px.
    pub target: Option<[f64; 2]>,
    /// The actions still planned, px.
    pub plan: &'a [[f64; 2]],
}

/// Draws `scene` as a square picture of `size_px` pixels a side.
///
/// # Errors
/// [`PictureError::Size`] unless `size_px` is 1 to 16384.
pub fn draw(scene: &Scene<'_>, size_px: u32) -> Result<Pixmap, PictureError> {
    let [width, height] = [size_px as usize; 2];
    let picture = (width <= MAX_SIDE).then(|| Pixmap::new(size_px, size_px));
    let mut picture = picture
        .flatten()
        .ok_or(PictureError::Size { width, height })?;
    picture.fill(color(WHITE));
    let scale = size_px as f32 / WINDOW_PX;
    let window = Transform::from_scale(scale, scale);
    let mut canvas = Canvas { picture, scale };
    let [agent_x, agent_y, block_x, block_y, block_angle] = scene.state.map(|v| v as f32);
    let [goal_x, goal_y, goal_angle] = scene.goal.map(|v| v as f32);
    let goal = pose(window, goal_x, goal_y, goal_angle);
    canvas.fill(tee(), LIGHT_GREEN, goal);
    for (radius, rgb) in [(0.0, ROYAL_BLUE), (RIM_PX, AGENT_INSIDE)] {
        let disc = circle(agent_x, agent_y, AGENT_RADIUS_PX - radius);
        canvas.fill(disc, rgb, window);
    }
    let block = pose(window, block_x, block_y, block_angle);
    for polygon in polygons() {
        canvas.fill(polygon.clone(), BLOCK_INSIDE, block);
        canvas.stroke(polygon, LIGHT_SLATE_GRAY, 2.0 * OUTLINE_RADIUS_PX, block);
    }
    canvas.fill(walls(), LIGHT_GRAY, window);
    if let Some([x, y]) = scene.target {
        let cross = cross(x as f32, y as f32, CROSS_ARM_PX);
        canvas.stroke(cross, RED, CROSS_WIDTH_PX, window);
    }
    canvas.stroke(path_through(scene.plan), ORANGE, PLAN_WIDTH_PX, window);
    for [x, y] in scene.plan {
        canvas.fill(circle(*x as f32, *y as f32, PLAN_RADIUS_PX), ORANGE, window);
    }
    Ok(canvas.picture)
}

/// A picture that is being drawn.
struct Canvas {
    picture: Pixmap,
    /// Pixels for each px of the environment.
    scale: f32,
}

impl Canvas {
    fn fill(&mut self, path: Option<Path>, rgb: [u8; 3], at: Transform) {
        if let Some(path) = path {
            let picture = &mut self.picture;
            picture.fill_path(&path, &paint(rgb), FillRule::Winding, at, None);
        }
    }

    /// A line `width_px` thick, px of the environment, with round ends and corners.
    fn stroke(&mut self, path: Option<Path>, rgb: [u8; 3], width_px: f32, at: Transform) {
        let stroke = Stroke {
            width: width_px.max(MIN_LINE_WIDTH / self.scale),
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        if let Some(path) = path {
            let picture = &mut self.picture;
            picture.stroke_path(&path, &paint(rgb), &stroke, at, None);
        }
    }
}

fn color([r, g, b]: [u8; 3]) -> Color {
    Color::from_rgba8(r, g, b, 255)
}

fn paint(rgb: [u8; 3]) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color(color(rgb));
    paint.anti_alias = true;
    paint
}

fn pose(window: Transform, x: f32, y: f32, angle_rad: f32) -> Transform {
    window
        .pre_translate(x, y)
        .pre_rotate(angle_rad.to_degrees())
}

/// The T, both boxes as one, in body coordinates.
fn tee() -> Option<Path> {
    let mut path = PathBuilder::new();
    for polygon in polygons().flatten() {
        path.push_path(&polygon);
    }
    path.finish()
}

/// The two boxes of the T in body coordinates.
fn polygons() -> impl Iterator<Item = Option<Path>> {
    BLOCK_VERTICES_PX.chunks_exact(4).map(|polygon| {
        let mut path = path_builder_through(polygon);
        path.close();
        path.finish()
    })
}

fn path_through(points: &[[f64; 2]]) -> Option<Path> {
    path_builder_through(points).finish()
}

fn path_builder_through(points: &[[f64; 2]]) -> PathBuilder {
    let mut path = PathBuilder::new();
    for (index, [x, y]) in points.iter().enumerate() {
        let (x, y) = (*x as f32, *y as f32);
        match index {
            0 => path.move_to(x, y),
            _ => path.line_to(x, y),
        }
    }
    path
}

fn walls() -> Option<Path> {
    let (low, high, r) = (WALL_MIN_PX, WALL_MAX_PX, WALL_RADIUS_PX);
    let mut path = PathBuilder::new();
    for [left, top, right, bottom] in [
        [low, low, high, low],
        [low, high, high, high],
        [low, low, low, high],
        [high, low, high, high],
    ] {
        path.push_rect(tiny_skia::Rect::from_ltrb(
            left - r,
            top - r,
            right + r,
            bottom + r,
        )?);
    }
    path.finish()
}

fn circle(x: f32, y: f32, radius: f32) -> Option<Path> {
    PathBuilder::from_circle(x, y, radius)
}

fn cross(x: f32, y: f32, arm: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(x - arm, y);
    path.line_to(x + arm, y);
    path.move_to(x, y - arm);
    path.line_to(x, y + arm);
    path.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENE: Scene<'_> = Scene {
        state: [100.0, 400.0, 400.0, 100.0, 0.0],
        goal: [256.0, 256.0, std::f64::consts::FRAC_PI_4],
        target: None,
        plan: &[],
    };

    fn pixel(picture: &Pixmap, x_px: f32, y_px: f32) -> [u8; 3] {
        let scale = picture.width() as f32 / WINDOW_PX;
        let (x, y) = ((x_px * scale) as u32, (y_px * scale) as u32);
        let c = picture.pixel(x, y).unwrap();
        [c.red(), c.green(), c.blue()]
    }

    #[test]
    fn each_thing_is_where_the_state_says_at_small_and_large_size() {
        for size_px in [96, 512, 680] {
            let picture = draw(&SCENE, size_px).unwrap();
            assert_eq!(pixel(&picture, 100.0, 400.0), AGENT_INSIDE);
            // The block's bar lies below its origin, its stem further down: y points down.
            assert_eq!(pixel(&picture, 350.0, 115.0), BLOCK_INSIDE);
            assert_eq!(pixel(&picture, 400.0, 200.0), BLOCK_INSIDE);
            assert_eq!(pixel(&picture, 400.0, 80.0), WHITE);
            // The goal is turned by +45 degrees: its stem points down and to the left.
            assert_eq!(pixel(&picture, 256.0 - 60.0, 256.0 + 60.0), LIGHT_GREEN);
            assert_eq!(pixel(&picture, 256.0 + 60.0, 256.0 - 60.0), WHITE);
        }
    }

    #[test]
    fn a_size_that_cannot_be_drawn_is_named() {
        for size_px in [0, 16385, 4_000_000_000] {
            let message = draw(&SCENE, size_px).unwrap_err().to_string();
            assert!(message.contains(&size_px.to_string()), "{message}");
        }
    }

    #[test]
    fn target_and_plan_are_marked() {
        let scene = Scene {
            target: Some([300.0, 450.0]),
            plan: &[[200.0, 450.0], [200.0, 350.0]],
            ..SCENE
        };
        for size_px in [96, 680] {
            let picture = draw(&scene, size_px).unwrap();
            // A line of one pixel is spread over two by anti-aliasing.
            let [red, green, _] = pixel(&picture, 300.0, 450.0);
            assert!(red == 255 && green < 64, "{green}");
            assert_eq!(pixel(&picture, 200.0, 350.0), ORANGE);
            assert_eq!(pixel(&picture, 400.0, 400.0), WHITE);
        }
    }

    /// A picture that gym-pusht drew (`tests/golden/render/generate.py`), and the same scene drawn
    /// here.
    fn both(png: &[u8]) -> (Pixmap, Pixmap) {
        let theirs = Pixmap::decode_png(png).unwrap();
        let scene = Scene {
            state: [100.0, 400.0, 330.0, 140.0, 0.3],
            target: Some([200.0, 440.0]),
            ..SCENE
        };
        let ours = draw(&scene, theirs.width()).unwrap();
        (theirs, ours)
    }

    /// Compares the pixels of `theirs` whose surroundings of `reach` pixels have one colour: their
    /// share of the picture, and how many differ in `ours`. Elsewhere there are edges, which
    /// gym-pusht rounds to pixels.
    fn inside_areas(theirs: &Pixmap, ours: &Pixmap, reach: u32) -> (f64, usize) {
        let (side, mut seen, mut wrong) = (theirs.width(), 0, 0);
        for (x, y) in (reach..side - reach).flat_map(|x| (reach..side - reach).map(move |y| (x, y)))
        {
            let around = (x - reach..=x + reach)
                .flat_map(|x| (y - reach..=y + reach).map(move |y| theirs.pixel(x, y)));
            if around.clone().all(|pixel| pixel == theirs.pixel(x, y)) {
                seen += 1;
                wrong += usize::from(ours.pixel(x, y) != theirs.pixel(x, y));
            }
        }
        (f64::from(seen) / f64::from(side * side), wrong)
    }

    #[test]
    fn areas_have_the_place_and_colour_of_gym_pushts() {
        for (png, reach, least) in [
            (
                include_bytes!("../../../tests/golden/render/96.png").as_slice(),
                1,
                0.7,
            ),
            (
                include_bytes!("../../../tests/golden/render/680.png"),
                2,
                0.85,
            ),
        ] {
            let (theirs, ours) = both(png);
            let (share, wrong) = inside_areas(&theirs, &ours, reach);
            assert!(share > least, "{share} of the picture is compared");
            assert_eq!(wrong, 0, "of {} pixels a side", theirs.width());
        }
    }
}
