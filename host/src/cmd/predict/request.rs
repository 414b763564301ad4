//! Requests of `pusht predict`, alone or in batches.

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Rows of numbers.
pub type Rows = Vec<Vec<f64>>;

/// One plan that is asked for.
#[derive(Debug)]
pub struct Request {
    /// Window of observations, oldest first.
    pub obs: Rows,
    /// Seed of the plan's noise.
    pub seed: Option<u64>,
    /// Initial sample.
    pub noise: Option<Rows>,
    /// Samples of the passes that draw one.
    pub step_noise: Option<Vec<Rows>>,
}

/// A line of the input.
pub enum Line {
    /// One window of observations.
    One(Request),
    /// A list of windows.
    Batch(Vec<Request>),
}

impl Line {
    /// Reads the JSON object of a line.
    ///
    /// # Errors
    /// If it is none, or a field is missing, unknown, of another shape or without an entry per
    /// window; the error names the field.
    pub fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).context("not JSON")?;
        ensure!(!overflows(&value), "not JSON: number out of range");
        let Value::Object(mut fields) = value else {
            bail!("not a JSON object with obs, and seed or noise");
        };
        let is_batch = fields.get("obs").is_some_and(|obs| obs[0][0].is_array());
        let line = match is_batch {
            true => Self::Batch(batch(&mut fields)?),
            false => Self::One(Request {
                obs: field(&mut fields, "obs")?.context("no obs")?,
                seed: field(&mut fields, "seed")?,
                noise: field(&mut fields, "noise")?,
                step_noise: field(&mut fields, "step_noise")?,
            }),
        };
        if let Some(name) = fields.keys().next() {
            bail!("unknown field {name}; there are obs, seed, noise and step_noise");
        }
        Ok(line)
    }
}

/// Whether a number is too large for double precision. With numbers of any precision, which another
/// crate of the build can switch on, serde_json takes them.
fn overflows(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(overflows),
        Value::Object(fields) => fields.values().any(overflows),
        Value::Number(number) => !number.as_f64().is_some_and(f64::is_finite),
        _ => false,
    }
}

/// Takes the fields of a batch apart, which have an entry per window.
fn batch(fields: &mut Map<String, Value>) -> Result<Vec<Request>> {
    let windows: Vec<Rows> = field(fields, "obs")?.context("no obs")?;
    let n_windows = windows.len();
    let seeds = per_window(fields, "seed", n_windows)?;
    let noises = per_window(fields, "noise", n_windows)?;
    let step_noises = per_window(fields, "step_noise", n_windows)?;
    let noise = seeds.into_iter().zip(noises).zip(step_noises);
    Ok(windows
        .into_iter()
        .zip(noise)
        .map(|(obs, ((seed, noise), step_noise))| Request {
            obs,
            seed,
            noise,
            step_noise,
        })
        .collect())
}

fn per_window<T: DeserializeOwned>(
    fields: &mut Map<String, Value>,
    name: &str,
    n_windows: usize,
) -> Result<Vec<Option<T>>> {
    let Some(values) = field::<Vec<T>>(fields, name)? else {
        return Ok((0..n_windows).map(|_| None).collect());
    };
    ensure!(
        values.len() == n_windows,
        "{name} has {} entries for {n_windows} windows",
        values.len()
    );
    Ok(values.into_iter().map(Some).collect())
}

/// Takes a field out of an object; `None` if it is not there.
fn field<T: DeserializeOwned>(fields: &mut Map<String, Value>, name: &str) -> Result<Option<T>> {
    let value = fields.remove(name).map(serde_json::from_value);
    value.transpose().with_context(|| name.to_owned())
}
