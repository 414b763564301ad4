//! gym-pusht's infos, of one environment and of many.

use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pusht_core::pusht::env::Info;
use pusht_gym::batch::PushTBatch;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// Quirk: gym-pusht divides the contact points of a control step by 1000 where it has 10 physics
/// steps (`_get_info`).
const CONTACTS_DIVISOR: usize = 1000;

fn n_contacts(info: &Info) -> usize {
    info.n_contact_points.div_ceil(CONTACTS_DIVISOR)
}

fn block_pose(info: &Info) -> [f64; 3] {
    [
        info.block_pos_px.x,
        info.block_pos_px.y,
        info.block_angle_rad,
    ]
}

fn goal_pose(info: &Info) -> [f64; 3] {
    [info.goal_pos_px.x, info.goal_pos_px.y, info.goal_angle_rad]
}

/// The info of one environment; `outcome`: success and coverage after a step.
pub fn info<'py>(
    py: Python<'py>,
    info: &Info,
    outcome: Option<(bool, f64)>,
) -> PyResult<Bound<'py, PyDict>> {
    let array = |values: &[f64]| PyArray1::from_slice(py, values);
    let dict = PyDict::new(py);
    dict.set_item(
        intern!(py, "pos_agent"),
        array(info.agent_pos_px.as_slice()),
    )?;
    dict.set_item(intern!(py, "vel_agent"), array(info.agent_vel.as_slice()))?;
    dict.set_item(intern!(py, "block_pose"), array(&block_pose(info)))?;
    dict.set_item(intern!(py, "goal_pose"), array(&goal_pose(info)))?;
    dict.set_item(intern!(py, "n_contacts"), n_contacts(info))?;
    let is_success = outcome.is_some_and(|(is_success, _)| is_success);
    dict.set_item(intern!(py, "is_success"), is_success)?;
    if let Some((_, coverage)) = outcome {
        dict.set_item(intern!(py, "coverage"), coverage)?;
    }
    Ok(dict)
}

/// The environments that an info is about.
pub struct Masks<'a> {
    /// Those with an info, (n).
    pub has_info: &'a [bool],
    /// Those among them that took a step, and so have a coverage, (n).
    pub has_coverage: &'a [bool],
    /// Whether they are the last states of episodes that ended, rather than the current states.
    pub is_final: bool,
}

/// The infos of many environments as Gymnasium's vector environments combine them: an array for
/// each name, and under `_name` which environments have one.
pub fn infos<'py>(
    py: Python<'py>,
    batch: &PushTBatch,
    masks: &Masks<'_>,
) -> PyResult<Bound<'py, PyDict>> {
    let n = masks.has_info.len();
    let pairs = || PyArray2::<f64>::zeros(py, [n, 2], false);
    let triples = || PyArray2::<f64>::zeros(py, [n, 3], false);
    let (pos, vel, block, goal) = (pairs(), pairs(), triples(), triples());
    let contacts = PyArray1::<i64>::zeros(py, n, false);
    let success = PyArray1::<bool>::zeros(py, n, false);
    let coverage = PyArray1::<f64>::zeros(py, n, false);
    {
        let (mut pos, mut vel) = (pos.readwrite(), vel.readwrite());
        let (mut block, mut goal) = (block.readwrite(), goal.readwrite());
        let (mut contacts, mut success) = (contacts.readwrite(), success.readwrite());
        let mut coverage = coverage.readwrite();
        let (pos, vel) = (pos.as_slice_mut()?, vel.as_slice_mut()?);
        let (block, goal) = (block.as_slice_mut()?, goal.as_slice_mut()?);
        let (contacts, success) = (contacts.as_slice_mut()?, success.as_slice_mut()?);
        let coverage = coverage.as_slice_mut()?;
        batch.rows(|rows| {
            for (at, index) in rows.indices().enumerate() {
                if !masks.has_info[index] {
                    continue;
                }
                let info = if masks.is_final {
                    &rows.final_envs[at].info()
                } else {
                    &rows.infos[at]
                };
                pos[2 * index..][..2].copy_from_slice(info.agent_pos_px.as_slice());
                vel[2 * index..][..2].copy_from_slice(info.agent_vel.as_slice());
                block[3 * index..][..3].copy_from_slice(&block_pose(info));
                goal[3 * index..][..3].copy_from_slice(&goal_pose(info));
                contacts[index] = n_contacts(info) as i64;
                if masks.has_coverage[index] {
                    success[index] = rows.step.terminations[at];
                    coverage[index] = rows.step.coverage[at];
                }
            }
        });
    }
    let dict = PyDict::new(py);
    let add = |name: &Bound<'py, PyString>, values: Bound<'py, PyAny>, mask: &[bool]| {
        dict.set_item(name, values)?;
        dict.set_item(format!("_{name}"), PyArray1::from_slice(py, mask))
    };
    add(intern!(py, "pos_agent"), pos.into_any(), masks.has_info)?;
    add(intern!(py, "vel_agent"), vel.into_any(), masks.has_info)?;
    add(intern!(py, "block_pose"), block.into_any(), masks.has_info)?;
    add(intern!(py, "goal_pose"), goal.into_any(), masks.has_info)?;
    add(
        intern!(py, "n_contacts"),
        contacts.into_any(),
        masks.has_info,
    )?;
    add(
        intern!(py, "is_success"),
        success.into_any(),
        masks.has_info,
    )?;
    if masks.has_coverage.contains(&true) {
        add(
            intern!(py, "coverage"),
            coverage.into_any(),
            masks.has_coverage,
        )?;
    }
    Ok(dict)
}
