//! gym-pusht's colours: CSS names, and the insides, which are two of them with a fifth more of each
//! component, at most 255.

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// Background.
pub const WHITE: Rgb = [255, 255, 255];
/// Goal.
pub const LIGHT_GREEN: Rgb = [144, 238, 144];
/// Walls.
pub const LIGHT_GRAY: Rgb = [211, 211, 211];
/// Outline of the block.
pub const LIGHT_SLATE_GRAY: Rgb = [119, 136, 153];
/// Inside of the block.
pub const BLOCK_INSIDE: Rgb = [143, 163, 184];
/// Rim of the agent.
pub const ROYAL_BLUE: Rgb = [65, 105, 225];
/// Inside of the agent.
pub const AGENT_INSIDE: Rgb = [78, 126, 255];
/// Marks of the contact points (pymunk's `collision_point_color`).
pub const CONTACT_RED: Rgb = [231, 76, 60];
/// Marker of the action.
pub const RED: Rgb = [255, 0, 0];
