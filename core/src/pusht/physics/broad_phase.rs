//! Broad phase: which pairs of shapes may touch, in Chipmunk's order.
//!
//! The solver's ten iterations do not converge, so the order of the contacts decides the motion. It
//! is the order in which Chipmunk's dynamic bounding-box tree (`cpBBTree.c`) reports the pairs.
//! With three moving shapes the tree is a root, two siblings and a single leaf: the order of the
//! three leaves and the place of the siblings describe it completely.
//!
//! A leaf has a fat box, larger than its shape's bounding box. Only when the shape leaves the fat
//! box, the leaf is removed, inserted again, and its pairs are queried. Until then its cached pairs
//! are reported, newest first.

use super::closest_points::FeatureId;
use super::shapes::{BoxShape, N_BOXES, N_WALLS, WALLS};
use crate::pusht::geometry::{Aabb, Vec2};
use crate::pusht::math::{max, min};

/// A moving shape, in the order in which Chipmunk's hash table of leaves updates them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Leaf {
    Bar,
    Stem,
    Agent,
}

use Leaf::{Agent, Bar, Stem};

const N_LEAVES: usize = N_BOXES + 1;
const LEAVES: [Leaf; N_LEAVES] = [Bar, Stem, Agent];

impl Leaf {
    /// Index in arrays of leaves; for a box also its index in the block.
    fn index(self) -> usize {
        self as usize
    }
}

/// What a box can touch: a wall, by its index, or the agent.
pub(crate) type Obstacle = usize;
/// The agent as an obstacle.
pub(crate) const AGENT_OBSTACLE: Obstacle = N_WALLS;
/// Number of obstacles.
pub(crate) const N_OBSTACLES: usize = N_WALLS + 1;

/// Number of pairs of a box and an obstacle.
pub(crate) const N_PAIRS: usize = N_BOXES * N_OBSTACLES;

/// Index of a pair; those with the agent come last.
pub(crate) fn pair_index(box_index: usize, obstacle: Obstacle) -> usize {
    obstacle * N_BOXES + box_index
}

/// Whether the pair is that of a box and the agent.
pub(crate) fn is_agent_pair(pair: usize) -> bool {
    pair >= AGENT_OBSTACLE * N_BOXES
}

/// Order of the walls in the tree of static shapes, to which gym-pusht adds them one by one.
const WALLS_IN_TREE_ORDER: [Obstacle; N_WALLS] = [3, 2, 1, 0];

/// Growth of a fat box as a share of the shape's size, and of its velocity times 1 s (`cpBBTree.c`
/// `GetBB`; a single-precision literal).
const FATTENING: f64 = 0.1f32 as f64;

/// A cached pair, as its leaf stores it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Partner {
    /// For a box's leaf an [`Obstacle`], for the agent's leaf the box.
    shape: u8,
    /// Feature of the last closest points, 0 for none.
    feature: FeatureId,
}

/// The cached pairs that a leaf reports, oldest first.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Partners {
    items: [Partner; N_OBSTACLES],
    len: u8,
}

impl Partners {
    const NONE: Self = Self {
        items: [Partner {
            shape: 0,
            feature: 0,
        }; N_OBSTACLES],
        len: 0,
    };

    fn push(&mut self, shape: usize, feature: FeatureId) {
        // No pair is in the list twice, so there is room.
        if let Some(slot) = self.items.get_mut(usize::from(self.len)) {
            *slot = Partner {
                shape: shape as u8,
                feature,
            };
            self.len += 1;
        }
    }

    fn remove(&mut self, shape: usize) {
        let mut kept = Self::NONE;
        for partner in self.iter_mut().filter(|p| usize::from(p.shape) != shape) {
            kept.push(usize::from(partner.shape), partner.feature);
        }
        *self = kept;
    }

    fn iter(&self) -> core::slice::Iter<'_, Partner> {
        let known = self.items.get(..usize::from(self.len));
        known.unwrap_or_default().iter()
    }

    fn iter_mut(&mut self) -> core::slice::IterMut<'_, Partner> {
        let known = self.items.get_mut(..usize::from(self.len));
        known.unwrap_or_default().iter_mut()
    }
}

/// The bounding-box tree of the moving shapes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct BroadPhase {
    fat_boxes: [Aabb; N_LEAVES],
    /// The leaves, depth first.
    order: [Leaf; N_LEAVES],
    /// Whether the siblings are the first two leaves in `order`, rather than the last two.
    siblings_first: bool,
    partners: [Partners; N_LEAVES],
    /// Which leaves were inserted again in the last step.
    reinserted: [bool; N_LEAVES],
}

impl BroadPhase {
    /// The tree after gym-pusht's set-up, which adds agent, bar and stem in this order, at rest.
    /// The bar becomes the agent's sibling; then the stem, nearer to the agent, takes the bar's
    /// place. Of the three fat boxes only those of stem and agent overlap.
    pub(crate) fn new(shapes: &[Aabb; N_LEAVES]) -> Self {
        let mut partners = [Partners::NONE; N_LEAVES];
        partners[Agent.index()].push(Stem.index(), 0);
        Self {
            fat_boxes: shapes.map(|bounds| fatten(bounds, Vec2::zeros())),
            order: LEAVES,
            siblings_first: false,
            partners,
            reinserted: [false; N_LEAVES],
        }
    }

    /// Whether a shape is within its leaf's fat box, so that the leaf stays in its place.
    pub(crate) fn fat_box_contains(&self, leaf: Leaf, bounds: &Aabb) -> bool {
        self.fat_boxes[leaf.index()].contains(bounds)
    }

    /// The cached pairs of box and agent: the box's index and the pair's feature.
    pub(crate) fn agent_pairs(&mut self) -> impl Iterator<Item = (usize, &mut FeatureId)> {
        let lists = self.partners.iter_mut().enumerate();
        lists.flat_map(|(leaf, partners)| {
            partners.iter_mut().filter_map(move |partner| {
                let shape = usize::from(partner.shape);
                let is_agent = leaf == Agent.index();
                let index = if is_agent { shape } else { leaf };
                (is_agent || shape == AGENT_OBSTACLE).then_some((index, &mut partner.feature))
            })
        })
    }

    /// Updates the leaves to the shapes' bounds and velocities (the boxes only if the block moved)
    /// and calls `collide(box, obstacle, cached feature)` for each pair that may touch. `collide`
    /// returns the feature to cache.
    pub(crate) fn update(
        &mut self,
        (boxes, block_vel, block_moved): (&[BoxShape; N_BOXES], Vec2, bool),
        agent: (Aabb, Vec2),
        mut collide: impl FnMut(usize, Obstacle, FeatureId) -> FeatureId,
    ) {
        let mut moved = [false; N_LEAVES];
        if block_moved {
            for (leaf, shape) in [Bar, Stem].into_iter().zip(boxes) {
                moved[leaf.index()] = self.update_leaf(leaf, &shape.bounds, block_vel);
            }
        }
        moved[Agent.index()] = self.update_leaf(Agent, &agent.0, agent.1);
        for place in 0..N_LEAVES {
            let leaf = self.order[place];
            if moved[leaf.index()] {
                self.query_pairs((place, leaf), &moved, &mut collide);
            } else {
                self.report_cached_pairs(leaf, &mut collide);
            }
        }
        self.reinserted = moved;
    }

    /// Notes a step in which every shape stayed in its fat box and no pair was reported.
    pub(crate) fn skip(&mut self) {
        self.reinserted = [false; N_LEAVES];
    }

    /// The pairs of the last step, box and obstacle, in the order in which they were reported.
    pub(crate) fn last_pairs(&self, mut report: impl FnMut(usize, Obstacle)) {
        for (place, leaf) in self.order.into_iter().enumerate() {
            if self.reinserted[leaf.index()] {
                self.queried_pairs((place, leaf), &mut report);
            } else {
                for partner in self.partners[leaf.index()].iter().rev() {
                    let (index, other) = pair_of(leaf, usize::from(partner.shape));
                    report(index, other);
                }
            }
        }
    }

    /// The pairs that [`Self::query_pairs`] reported.
    fn queried_pairs(
        &self,
        (place, leaf): (usize, Leaf),
        report: &mut impl FnMut(usize, Obstacle),
    ) {
        let fat = self.fat_boxes[leaf.index()];
        if leaf != Agent {
            for wall in WALLS_IN_TREE_ORDER {
                if WALLS.get(wall).is_some_and(|w| fat.intersects(&w.bounds)) {
                    report(leaf.index(), wall);
                }
            }
        }
        for other_place in self.others_from_sibling_up(place) {
            let Some(&other) = self.order.get(other_place) else {
                continue;
            };
            let is_pair = (leaf == Agent) != (other == Agent);
            if is_pair && other_place < place && fat.intersects(&self.fat_boxes[other.index()]) {
                report(leaf.min(other).index(), AGENT_OBSTACLE);
            }
        }
    }

    /// Inserts the leaf again if its shape left the fat box; returns whether it did.
    fn update_leaf(&mut self, leaf: Leaf, bounds: &Aabb, vel: Vec2) -> bool {
        let left = !self.fat_box_contains(leaf, bounds);
        if left {
            self.fat_boxes[leaf.index()] = fatten(*bounds, vel);
            self.reinsert(leaf);
            self.clear_partners(leaf);
        }
        left
    }

    /// Removes a leaf and inserts it beside the leaf for which the boxes' areas grow least
    /// (`cpBBTree.c` `SubtreeInsert`).
    fn reinsert(&mut self, leaf: Leaf) {
        let mut rest = self.order.into_iter().filter(|&l| l != leaf);
        let (Some(a), Some(b)) = (rest.next(), rest.next()) else {
            return;
        };
        let [box_a, box_b, new] = [a, b, leaf].map(|l| self.fat_boxes[l.index()]);
        let mut cost_a = box_b.area() + box_a.merge(&new).area();
        let mut cost_b = box_a.area() + box_b.merge(&new).area();
        if cost_a == cost_b {
            cost_a = centre_distance(&box_a, &new);
            cost_b = centre_distance(&box_b, &new);
        }
        let beside_b = cost_b < cost_a;
        self.siblings_first = !beside_b;
        self.order = if beside_b { [a, leaf, b] } else { [leaf, a, b] };
    }

    fn clear_partners(&mut self, leaf: Leaf) {
        self.partners[leaf.index()].len = 0;
        if leaf == Agent {
            for index in [Bar, Stem].map(Leaf::index) {
                self.partners[index].remove(AGENT_OBSTACLE);
            }
        } else {
            self.partners[Agent.index()].remove(leaf.index());
        }
    }

    /// Queries the pairs of a leaf that was inserted again: the walls, then the other leaves from
    /// its sibling up. Of two leaves, the right one reports their pair.
    fn query_pairs(
        &mut self,
        (place, leaf): (usize, Leaf),
        moved: &[bool; N_LEAVES],
        collide: &mut impl FnMut(usize, Obstacle, FeatureId) -> FeatureId,
    ) {
        let fat = self.fat_boxes[leaf.index()];
        if leaf != Agent {
            for wall in WALLS_IN_TREE_ORDER {
                if WALLS.get(wall).is_some_and(|w| fat.intersects(&w.bounds)) {
                    self.partners[leaf.index()].push(wall, 0);
                    collide(leaf.index(), wall, 0);
                }
            }
        }
        for other_place in self.others_from_sibling_up(place) {
            let Some(&other) = self.order.get(other_place) else {
                continue;
            };
            let same_body = leaf != Agent && other != Agent;
            if same_body || !fat.intersects(&self.fat_boxes[other.index()]) {
                continue;
            }
            let (box_leaf, other_is_right) = (leaf.min(other), other_place > place);
            if other_is_right {
                self.partners[other.index()].push(partner_of(other, leaf), 0);
            } else {
                if !moved[other.index()] {
                    self.partners[leaf.index()].push(partner_of(leaf, other), 0);
                }
                collide(box_leaf.index(), AGENT_OBSTACLE, 0);
            }
        }
    }

    fn others_from_sibling_up(&self, place: usize) -> [usize; 2] {
        match (place, self.siblings_first) {
            (0, _) => [1, 2],
            (1, true) => [0, 2],
            (1, false) => [2, 0],
            (_, true) => [0, 1],
            (_, false) => [1, 0],
        }
    }

    fn report_cached_pairs(
        &mut self,
        leaf: Leaf,
        collide: &mut impl FnMut(usize, Obstacle, FeatureId) -> FeatureId,
    ) {
        for partner in self.partners[leaf.index()].iter_mut().rev() {
            let (index, other) = pair_of(leaf, usize::from(partner.shape));
            partner.feature = collide(index, other, partner.feature);
        }
    }
}

/// The box and the obstacle of a pair in `leaf`'s list of partners.
fn pair_of(leaf: Leaf, shape: usize) -> (usize, Obstacle) {
    match leaf {
        Agent => (shape, AGENT_OBSTACLE),
        Bar | Stem => (leaf.index(), shape),
    }
}

/// How `leaf`'s list of partners names the leaf `other`.
fn partner_of(leaf: Leaf, other: Leaf) -> usize {
    match leaf {
        Agent => other.index(),
        Bar | Stem => AGENT_OBSTACLE,
    }
}

fn fatten(bounds: Aabb, vel: Vec2) -> Aabb {
    let margin = (bounds.max - bounds.min) * FATTENING;
    let travel = vel * FATTENING;
    Aabb {
        min: bounds.min + Vec2::new(min(-margin.x, travel.x), min(-margin.y, travel.y)),
        max: bounds.max + Vec2::new(max(margin.x, travel.x), max(margin.y, travel.y)),
    }
}

/// Twice the distance between the centres in the 1-norm.
fn centre_distance(a: &Aabb, b: &Aabb) -> f64 {
    (a.min.x + a.max.x - b.min.x - b.max.x).abs() + (a.min.y + a.max.y - b.min.y - b.max.y).abs()
}
