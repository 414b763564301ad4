//! A policy: a model file with its working memory.

use crate::model_file::ModelFile;
use pusht_core::link::file_crc32c;
use pusht_core::pusht::observation::ObservationKind;
use pusht_core::quant::{IntPolicy, Model, ModelError};
use wasm_bindgen::prelude::*;

/// A model file of a PushT policy, and how much of its plans is used.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Policy {
    file: ModelFile,
    kind: ObservationKind,
    /// Passes in the file.
    most_passes: usize,
    scratch: Vec<u64>,
}

#[wasm_bindgen]
impl Policy {
    /// Checks a model file.
    ///
    /// # Errors
    /// If it is damaged, of another format version, or of another task than PushT.
    #[wasm_bindgen(constructor)]
    pub fn new(bytes: Vec<u8>) -> Result<Policy, String> {
        let file = ModelFile::parse(bytes).map_err(|error| error.to_string())?;
        let model = file.model();
        let task = model.task();
        let kind = ObservationKind::of_task(task)
            .ok_or_else(|| format!("a policy of the task {task:?}, not of PushT"))?;
        let shape = model.shape();
        if (shape.obs_dim, shape.action_dim) != (kind.dim(), 2) {
            return Err(format!(
                "{} values in and {} out, not the {} and 2 of {task}",
                shape.obs_dim,
                shape.action_dim,
                kind.dim()
            ));
        }
        Ok(Self {
            most_passes: model.n_passes(),
            scratch: vec![0; model.scratch_len()],
            kind,
            file,
        })
    }

    /// Ends plans after `passes` passes, and executes `actions` of each.
    ///
    /// # Errors
    /// If the file has fewer of either; nothing changes then.
    pub fn set(&mut self, passes: usize, actions: usize) -> Result<(), String> {
        let set = || -> Result<ModelFile, ModelError> {
            // What was cut off comes back only from the file.
            let mut file = ModelFile::parse(self.file.bytes().to_vec())?;
            file.stop_after(passes)?;
            file.set_n_action_steps(actions)?;
            Ok(file)
        };
        self.file = set().map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Passes of the network per plan.
    #[wasm_bindgen(getter)]
    pub fn passes(&self) -> usize {
        self.model().n_passes()
    }

    /// Passes in the file.
    #[wasm_bindgen(getter)]
    pub fn most_passes(&self) -> usize {
        self.most_passes
    }

    /// Actions executed per plan.
    #[wasm_bindgen(getter)]
    pub fn actions(&self) -> usize {
        self.model().n_action_steps()
    }

    /// Actions of a plan.
    #[wasm_bindgen(getter)]
    pub fn most_actions(&self) -> usize {
        self.model().most_action_steps()
    }

    /// CRC-32C of the file, by which the serial link names it.
    #[wasm_bindgen(getter)]
    pub fn crc32c(&self) -> u32 {
        file_crc32c(self.file.bytes())
    }

    /// Description of the model's origin.
    #[wasm_bindgen(getter)]
    pub fn provenance(&self) -> String {
        self.model().provenance().to_owned()
    }
}

impl Policy {
    pub(crate) fn model(&self) -> &Model<'_> {
        self.file.model()
    }

    pub(crate) fn kind(&self) -> ObservationKind {
        self.kind
    }

    /// The policy, ready to plan.
    pub(crate) fn planner(&mut self) -> Result<IntPolicy<'_>, ModelError> {
        IntPolicy::new(self.file.model(), &mut self.scratch)
    }
}
