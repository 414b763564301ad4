//! LeRobot's pre- and postprocessor: which value reaches the network, and what its actions mean.

use super::affine::{Affine, IDENTITY, Normalised};
use super::config::Sizes;
use super::folder::Folder;
use super::steps::{self, RelativeActions, Step};
use super::{ACTION, ENVIRONMENT, STATE};
use anyhow::{Result, bail, ensure};

const BEFORE: &str = "policy_preprocessor.json";
const AFTER: &str = "policy_postprocessor.json";

/// Steps before and after the policy.
pub(super) struct Pipelines {
    before: Vec<Step>,
    after: Vec<Step>,
    files: Vec<String>,
}

/// Reads both pipelines; `None` for a policy from before they existed.
///
/// # Errors
/// If one of the two is missing, or a step can't be served.
pub(super) fn read(folder: &Folder) -> Result<Option<Pipelines>> {
    let missing: Vec<_> = [BEFORE, AFTER]
        .into_iter()
        .filter(|file| folder.optional(file).is_none())
        .collect();
    match missing[..] {
        [] => {}
        [file] => bail!("{file} is missing; the other processor's file is there"),
        _ => return Ok(None),
    }
    let (before, after) = (steps::read(folder, BEFORE)?, steps::read(folder, AFTER)?);
    let state_files = before.iter().chain(&after).filter_map(|step| match step {
        Step::Normalize(normalizer) | Step::Unnormalize(normalizer) => Some(&normalizer.file),
        _ => None,
    });
    let files = [BEFORE, AFTER].map(str::to_owned).into_iter();
    let files = files.chain(state_files.filter(|file| !file.is_empty()).cloned());
    Ok(Some(Pipelines {
        files: files.map(|file| folder.shown(&file)).collect(),
        before,
        after,
    }))
}

impl Pipelines {
    /// Normalisation of all values.
    ///
    /// # Errors
    /// If the steps' order or statistics can't be served; the error names them.
    pub(super) fn normalised(self, sizes: &Sizes) -> Result<Normalised> {
        let mut result = Normalised::identity(sizes);
        let observed = [(STATE, sizes.state), (ENVIRONMENT, sizes.environment)];
        for (index, (key, dim)) in observed.into_iter().enumerate() {
            if dim == 0 {
                continue;
            }
            let input = self.input(key, dim)?;
            let from = match input.source == key {
                true => String::new(),
                false => format!(", renamed from {}", input.source),
            };
            result.modes.push(format!("{key} by {}{from}", input.mode));
            result.sources[index] = input.source;
            match index {
                0 => result.state = input.values,
                _ => result.environment = input.values,
            }
        }
        let (mode, values) = self.output(sizes.action)?;
        result.action = values;
        result.modes.push(format!("{ACTION} by {mode}"));
        if let Some(relative) = self.relative()? {
            result.relative = relative.mask(sizes.action);
            ensure!(
                sizes.action <= sizes.state,
                "relative_actions_processor: {ACTION} has {} values, {STATE} only {}",
                sizes.action,
                sizes.state
            );
            let n = result.relative.iter().filter(|is| **is).count();
            let which = format!("{n} of {} actions are relative to {STATE}", sizes.action);
            result.modes.push(which);
        }
        result.action_names = self.action_names();
        result.files = self.files;
        Ok(result)
    }

    /// Follows the policy's input `key` backwards through the preprocessor.
    fn input(&self, key: &str, dim: usize) -> Result<Input> {
        let mut input = Input {
            source: key.to_owned(),
            mode: "IDENTITY".to_owned(),
            values: vec![IDENTITY; dim],
        };
        let mut is_normalised = false;
        for step in self.before.iter().rev() {
            match step {
                Step::Rename(names) => input.source = renamed_from(&input.source, names)?,
                Step::Normalize(normalizer) => {
                    let Some((mode, values)) = normalizer.observed(&input.source, dim)? else {
                        continue;
                    };
                    ensure!(
                        !is_normalised,
                        "{BEFORE}: two steps normalise {key}, only one is supported"
                    );
                    (input.mode, input.values, is_normalised) = (mode, values, true);
                }
                Step::Unnormalize(normalizer) => ensure!(
                    normalizer.observed(&input.source, dim)?.is_none(),
                    "{BEFORE}: unnormalizer_processor of {key} is not supported, only normalizer_processor"
                ),
                Step::Relative(_) | Step::Absolute(_) | Step::Neutral => {}
            }
        }
        Ok(input)
    }

    /// Un-normalisation of the action in the postprocessor.
    fn output(&self, dim: usize) -> Result<(String, Vec<Affine>)> {
        let mut found = None;
        for step in &self.after {
            match step {
                Step::Unnormalize(normalizer) => {
                    if let Some((mode, values)) = normalizer.commanded(dim)? {
                        ensure!(
                            found.is_none(),
                            "{AFTER}: two steps un-normalise {ACTION}, only one is supported"
                        );
                        found = Some((mode, values));
                    }
                }
                Step::Normalize(normalizer) => ensure!(
                    normalizer.commanded(dim)?.is_none(),
                    "{AFTER}: normalizer_processor of {ACTION} is not supported, only unnormalizer_processor"
                ),
                _ => {}
            }
        }
        Ok(found.unwrap_or_else(|| ("IDENTITY".to_owned(), vec![IDENTITY; dim])))
    }

    /// The step whose state is added to the actions, if one is.
    fn relative(&self) -> Result<Option<&RelativeActions>> {
        let is_absolute = |step: &Step| matches!(step, Step::Absolute(true));
        let Some(added) = self.after.iter().position(is_absolute) else {
            return Ok(None);
        };
        let is_relative = |step: &Step| matches!(step, Step::Relative(_));
        let Some(cached) = self.before.iter().position(is_relative) else {
            bail!(
                "{AFTER}: absolute_actions_processor needs a relative_actions_processor in {BEFORE}"
            );
        };
        let changes = |step: &Step| matches!(step, Step::Normalize(_) | Step::Unnormalize(_));
        ensure!(
            !self.before[..cached].iter().any(changes) && !self.after[added..].iter().any(changes),
            "absolute_actions_processor adds a normalised state or a normalised action; only \
             relative_actions_processor before normalizer_processor, and absolute_actions_processor after \
             unnormalizer_processor, are supported"
        );
        let renames_state = |step: &Step| match step {
            Step::Rename(names) => {
                names.contains_key(STATE) || names.values().any(|name| name == STATE)
            }
            _ => false,
        };
        ensure!(
            !self.before[cached..].iter().any(renames_state),
            "{BEFORE}: {STATE} is renamed after relative_actions_processor, only before it is supported"
        );
        Ok(match &self.before[cached] {
            Step::Relative(relative) => Some(relative),
            _ => None,
        })
    }

    fn action_names(&self) -> Vec<String> {
        let names = self.before.iter().find_map(|step| match step {
            Step::Relative(relative) => relative.action_names.clone(),
            _ => None,
        });
        names.unwrap_or_default()
    }
}

/// An input of the policy, outside of its preprocessor.
struct Input {
    source: String,
    mode: String,
    values: Vec<Affine>,
}

/// Name of `key` before a step that renames.
fn renamed_from(key: &str, names: &std::collections::BTreeMap<String, String>) -> Result<String> {
    let mut sources = names.iter().filter(|(_, new)| *new == key);
    match (sources.next(), sources.next()) {
        (Some((source, _)), None) => Ok(source.clone()),
        (Some((first, _)), Some((second, _))) => {
            bail!("{BEFORE}: rename_map gives both {first:?} and {second:?} the name {key:?}")
        }
        (None, _) => {
            let new = names.get(key);
            ensure!(
                new.is_none(),
                "{BEFORE}: rename_map gives the input {key:?} the name {:?}, and no other its name",
                new.map_or("", String::as_str)
            );
            Ok(key.to_owned())
        }
    }
}
