//! Which shapes may touch, and in which order they are asked.
//!
//! Ten sweeps of the solver do not converge, so the order of the contacts decides the motion, and that order is the
//! one in which Chipmunk's dynamic bounding-box tree (`cpBBTree.c`) meets the pairs. With three moving shapes the
//! tree has a root, one pair of siblings and a single: an order of three leaves and the place of the pair say all.
//!
//! A leaf keeps a box fatter than its shape. Only when the shape leaves it is the leaf taken out and put in again;
//! it then looks for its partners afresh, and until then it keeps them, newest first.

use super::closest_points::FeatureId;
use super::shapes::{BoxShape, N_BOXES, N_WALLS, WALLS};
use crate::pusht::geometry::{Aabb, Vec2};
use crate::pusht::math::{max, min};

/// A moving shape. Their order is that of Chipmunk's hash table of leaves, in which the trees' leaves are updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leaf {
    Bar,
    Stem,
    Agent,
}

use Leaf::{Agent, Bar, Stem};

const N_LEAVES: usize = N_BOXES + 1;
const LEAVES: [Leaf; N_LEAVES] = [Bar, Stem, Agent];

impl Leaf {
    /// Of a box, its index in the block.
    fn index(self) -> usize {
        self as usize
    }
}

/// What a box can touch: a wall, or the agent. A wall's number is its index.
pub(crate) type Other = usize;
/// The agent as the other of a box.
pub(crate) const OTHER_AGENT: Other = N_WALLS;
/// How many others there are.
pub(crate) const N_OTHERS: usize = N_WALLS + 1;

/// The order of the walls in the tree of static shapes, into which gym-pusht puts them one by one.
const WALLS_IN_TREE_ORDER: [Other; N_WALLS] = [3, 2, 1, 0];

/// How much of its size, and of the way that it goes in a second, a leaf's box is fatter. Chipmunk writes the
/// number as a single-precision literal.
const FATTENING: f64 = 0.1f32 as f64;

/// A pair of shapes that a leaf remembers.
#[derive(Clone, Copy, Debug)]
struct Partner {
    /// Of a box: an [`Other`]. Of the agent: the box.
    shape: u8,
    /// Where the closest points were found last.
    feature: FeatureId,
}

/// The partners that a leaf reports, oldest first.
#[derive(Clone, Copy, Debug)]
struct Partners {
    items: [Partner; N_OTHERS],
    len: u8,
}

impl Partners {
    const NONE: Self = Self {
        items: [Partner {
            shape: 0,
            feature: 0,
        }; N_OTHERS],
        len: 0,
    };

    fn push(&mut self, shape: usize, feature: FeatureId) {
        // A leaf has no partner twice, so the list is never full here.
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

    fn iter_mut(&mut self) -> core::slice::IterMut<'_, Partner> {
        let known = self.items.get_mut(..usize::from(self.len));
        known.unwrap_or_default().iter_mut()
    }
}

/// The tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BroadPhase {
    fat: [Aabb; N_LEAVES],
    /// The leaves, depth first.
    order: [Leaf; N_LEAVES],
    /// Whether the siblings are the first two leaves of the order, not the last two.
    siblings_first: bool,
    partners: [Partners; N_LEAVES],
}

impl BroadPhase {
    /// The tree as gym-pusht's set-up leaves it: agent, bar and stem were added in this order, at rest.
    /// The bar became the sibling of the agent, then the stem, nearer to the agent, took the bar's place;
    /// of the three boxes only those of stem and agent overlap.
    pub(crate) fn set_up(shapes: &[Aabb; N_LEAVES]) -> Self {
        let mut partners = [Partners::NONE; N_LEAVES];
        partners[Agent.index()].push(Stem.index(), 0);
        Self {
            fat: shapes.map(|bounds| fatten(bounds, Vec2::zeros())),
            order: LEAVES,
            siblings_first: false,
            partners,
        }
    }

    /// Whether a shape is still within its leaf's box, so that its leaf stays where it is.
    pub(crate) fn keeps(&self, leaf: Leaf, bounds: &Aabb) -> bool {
        self.fat[leaf.index()].contains(bounds)
    }

    /// The boxes that may touch the agent, each with the feature to remember, as they are while no leaf is put in again.
    pub(crate) fn partners_of_agent(&mut self) -> impl Iterator<Item = (usize, &mut FeatureId)> {
        let lists = self.partners.iter_mut().enumerate();
        lists.flat_map(|(leaf, partners)| {
            partners.iter_mut().filter_map(move |partner| {
                let shape = usize::from(partner.shape);
                let is_agent = leaf == Agent.index();
                let index = if is_agent { shape } else { leaf };
                (is_agent || shape == OTHER_AGENT).then_some((index, &mut partner.feature))
            })
        })
    }

    /// Takes the shapes' new bounds and velocities (of the boxes only if the block `moved`) and calls
    /// `collide(box, other, feature)` for each pair that may touch; `collide` answers with the feature to remember.
    pub(crate) fn update(
        &mut self,
        (boxes, block_vel, block_moved): (&[BoxShape; N_BOXES], Vec2, bool),
        agent: (Aabb, Vec2),
        mut collide: impl FnMut(usize, Other, FeatureId) -> FeatureId,
    ) {
        let mut moved = [false; N_LEAVES];
        if block_moved {
            for (leaf, shape) in [Bar, Stem].into_iter().zip(boxes) {
                moved[leaf.index()] = self.follow(leaf, &shape.bounds, block_vel);
            }
        }
        moved[Agent.index()] = self.follow(Agent, &agent.0, agent.1);
        for place in 0..N_LEAVES {
            let leaf = self.order[place];
            if moved[leaf.index()] {
                self.find_partners((place, leaf), &moved, &mut collide);
            } else {
                self.report_partners(leaf, &mut collide);
            }
        }
    }

    /// Puts the leaf of a shape that has left its box in again; says whether that was so.
    fn follow(&mut self, leaf: Leaf, bounds: &Aabb, vel: Vec2) -> bool {
        let left = !self.keeps(leaf, bounds);
        if left {
            self.fat[leaf.index()] = fatten(*bounds, vel);
            self.reinsert(leaf);
            self.forget_partners(leaf);
        }
        left
    }

    /// Takes a leaf out of the tree and puts it beside the leaf where the boxes grow least.
    fn reinsert(&mut self, leaf: Leaf) {
        let mut rest = self.order.into_iter().filter(|&l| l != leaf);
        let (Some(a), Some(b)) = (rest.next(), rest.next()) else {
            return;
        };
        let [box_a, box_b, new] = [a, b, leaf].map(|l| self.fat[l.index()]);
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

    fn forget_partners(&mut self, leaf: Leaf) {
        self.partners[leaf.index()].len = 0;
        if leaf == Agent {
            for index in [Bar, Stem].map(Leaf::index) {
                self.partners[index].remove(OTHER_AGENT);
            }
        } else {
            self.partners[Agent.index()].remove(leaf.index());
        }
    }

    /// A leaf that was put in again asks the walls, then the other leaves from its sibling up. Of a pair of leaves
    /// the right one reports.
    fn find_partners(
        &mut self,
        (place, leaf): (usize, Leaf),
        moved: &[bool; N_LEAVES],
        collide: &mut impl FnMut(usize, Other, FeatureId) -> FeatureId,
    ) {
        let fat = self.fat[leaf.index()];
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
            let of_one_body = leaf != Agent && other != Agent;
            if of_one_body || !fat.intersects(&self.fat[other.index()]) {
                continue;
            }
            let (box_leaf, other_is_right) = (leaf.min(other), other_place > place);
            if other_is_right {
                self.partners[other.index()].push(partner_of(other, leaf), 0);
            } else {
                if !moved[other.index()] {
                    self.partners[leaf.index()].push(partner_of(leaf, other), 0);
                }
                collide(box_leaf.index(), OTHER_AGENT, 0);
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

    fn report_partners(
        &mut self,
        leaf: Leaf,
        collide: &mut impl FnMut(usize, Other, FeatureId) -> FeatureId,
    ) {
        for partner in self.partners[leaf.index()].iter_mut().rev() {
            let shape = usize::from(partner.shape);
            let (index, other) = match leaf {
                Agent => (shape, OTHER_AGENT),
                Bar | Stem => (leaf.index(), shape),
            };
            partner.feature = collide(index, other, partner.feature);
        }
    }
}

/// How the partner list of `leaf` names the leaf `other`.
fn partner_of(leaf: Leaf, other: Leaf) -> usize {
    match leaf {
        Agent => other.index(),
        Bar | Stem => OTHER_AGENT,
    }
}

fn fatten(bounds: Aabb, vel: Vec2) -> Aabb {
    let margin = (bounds.max - bounds.min) * FATTENING;
    let way = vel * FATTENING;
    Aabb {
        min: bounds.min + Vec2::new(min(-margin.x, way.x), min(-margin.y, way.y)),
        max: bounds.max + Vec2::new(max(margin.x, way.x), max(margin.y, way.y)),
    }
}

/// Twice the distance of the centres, in the 1-norm.
fn centre_distance(a: &Aabb, b: &Aabb) -> f64 {
    (a.min.x + a.max.x - b.min.x - b.max.x).abs() + (a.min.y + a.max.y - b.min.y - b.max.y).abs()
}
