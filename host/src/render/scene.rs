//! One frame: goal, walls, block, agent, target and planned path.

use pusht_core::observation::BLOCK_VERTICES_PX;
use tiny_skia::{Color, FillRule, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};

/// Edge of the scene, px of the environment.
const WINDOW_PX: f32 = 512.0;
/// Radius of the agent, px of the environment.
const AGENT_RADIUS_PX: f32 = 15.0;
/// Corners of the walls and their radius, px of the environment (`gym_pusht/envs/pusht.py`, `_setup`).
const WALL_MIN_PX: f32 = 5.0;
const WALL_MAX_PX: f32 = 506.0;
const WALL_RADIUS_PX: f32 = 2.0;

/// Colours as gym-pusht names them (CSS names), then ours.
pub(super) const WHITE: [u8; 3] = [255, 255, 255];
pub(super) const LIGHT_GREEN: [u8; 3] = [144, 238, 144];
pub(super) const LIGHT_GRAY: [u8; 3] = [211, 211, 211];
pub(super) const LIGHT_SLATE_GRAY: [u8; 3] = [119, 136, 153];
pub(super) const ROYAL_BLUE: [u8; 3] = [65, 105, 225];
pub(super) const RED: [u8; 3] = [255, 0, 0];
pub(super) const ORANGE: [u8; 3] = [255, 140, 0];

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

/// Draws `scene` as a square picture of `size_px` pixels a side; `None` if `size_px` is 0.
pub fn draw(scene: &Scene<'_>, size_px: u32) -> Option<Pixmap> {
    let mut picture = Pixmap::new(size_px, size_px)?;
    picture.fill(color(WHITE));
    let scale = size_px as f32 / WINDOW_PX;
    let window = Transform::from_scale(scale, scale);
    let [agent_x, agent_y, block_x, block_y, block_angle] = scene.state.map(|v| v as f32);
    let [goal_x, goal_y, goal_angle] = scene.goal.map(|v| v as f32);
    let mut fill = |path: Option<Path>, rgb, at: Transform| {
        if let Some(path) = path {
            picture.fill_path(&path, &paint(rgb), FillRule::Winding, at, None);
        }
    };
    fill(tee(), LIGHT_GREEN, pose(window, goal_x, goal_y, goal_angle));
    fill(walls(), LIGHT_GRAY, window);
    fill(
        circle(agent_x, agent_y, AGENT_RADIUS_PX),
        ROYAL_BLUE,
        window,
    );
    fill(
        tee(),
        LIGHT_SLATE_GRAY,
        pose(window, block_x, block_y, block_angle),
    );
    for [x, y] in scene.plan {
        fill(circle(*x as f32, *y as f32, 3.0), ORANGE, window);
    }
    if let Some([x, y]) = scene.target {
        // At least 1.5 pixels wide, so that a small picture still shows it.
        let width = (3.0 * scale).max(1.5) / scale;
        let stroke = Stroke {
            width,
            ..Stroke::default()
        };
        if let Some(path) = cross(x as f32, y as f32, 8.0) {
            picture.stroke_path(&path, &paint(RED), &stroke, window, None);
        }
    }
    Some(picture)
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

/// The two boxes of the T in body coordinates.
fn tee() -> Option<Path> {
    let mut path = PathBuilder::new();
    for polygon in BLOCK_VERTICES_PX.chunks_exact(4) {
        for (index, [x, y]) in polygon.iter().enumerate() {
            let (x, y) = (*x as f32, *y as f32);
            match index {
                0 => path.move_to(x, y),
                _ => path.line_to(x, y),
            }
        }
        path.close();
    }
    path.finish()
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
            assert_eq!(pixel(&picture, 100.0, 400.0), ROYAL_BLUE);
            // The block's bar lies below its origin, its stem further down: y points down.
            assert_eq!(pixel(&picture, 350.0, 115.0), LIGHT_SLATE_GRAY);
            assert_eq!(pixel(&picture, 400.0, 200.0), LIGHT_SLATE_GRAY);
            assert_eq!(pixel(&picture, 400.0, 80.0), WHITE);
            // The goal is turned by +45 degrees: its stem points down and to the left.
            assert_eq!(pixel(&picture, 256.0 - 60.0, 256.0 + 60.0), LIGHT_GREEN);
            assert_eq!(pixel(&picture, 256.0 + 60.0, 256.0 - 60.0), WHITE);
        }
    }

    #[test]
    fn the_target_is_marked() {
        let scene = Scene {
            target: Some([300.0, 450.0]),
            ..SCENE
        };
        assert_eq!(pixel(&draw(&scene, 512).unwrap(), 300.0, 450.0), RED);
    }
}
