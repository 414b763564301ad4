//! Other projects' programs on the Python package.
//!
//! Their requirements conflict, so there are three virtual environments in target/verify/clients/;
//! they take 10 GB. A variable such as `PUSHT_CLIENTS_PYTORCH` names one that exists already. Tests
//! that no package contains run from checkouts, of which `GYMNASIUM`, `ENVPOOL` and
//! `DIFFUSION_POLICY` name those that exist already. The package itself is in a folder of its own,
//! for all three.

use crate::setup;
use crate::steps::repository;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// A virtual environment.
struct Environment {
    /// Name, also of the file of its requirements.
    name: &'static str,
    /// Variable with the path of one that exists.
    variable: &'static str,
    /// The Python that its requirements are for.
    python: &'static str,
    /// Packages for pip's builds, installed before.
    for_builds: &'static [&'static str],
    tests: &'static [&'static str],
}

const PYTORCH: Environment = Environment {
    name: "pytorch",
    variable: "PUSHT_CLIENTS_PYTORCH",
    python: "python3.12",
    for_builds: &[],
    tests: &[
        "test_envpool_tests.py",
        "test_lerobot.py",
        "test_ray.py",
        "test_sb3.py",
        "test_torchrl.py",
    ],
};
const PUFFERLIB: Environment = Environment {
    name: "pufferlib",
    variable: "PUSHT_CLIENTS_PUFFERLIB",
    python: "python3.11",
    for_builds: &["setuptools<70", "wheel", "cython==3.3.1", "numpy==1.26.4"],
    tests: &["test_puffer.py"],
};
const DIFFUSION_POLICY: Environment = Environment {
    name: "diffusion_policy",
    variable: "PUSHT_CLIENTS_DIFFUSION_POLICY",
    python: "python3.10",
    for_builds: &["pip<24.1", "setuptools==65.5.0", "wheel==0.38.4"],
    tests: &["test_diffusion_policy.py"],
};

/// A checkout of a project: name of the variable with its path, address, tag or branch.
type Checkout = (&'static str, &'static str, &'static str);

const CHECKOUTS: [Checkout; 3] = [
    ("GYMNASIUM", "Farama-Foundation/Gymnasium", "v1.2.2"),
    ("ENVPOOL", "sail-sg/envpool", "v1.2.4"),
    ("DIFFUSION_POLICY", "real-stanford/diffusion_policy", "main"),
];

/// Gymnasium's tests of vector environments.
const GYMNASIUM_TESTS: [&str; 4] = [
    "tests/vector",
    "tests/wrappers/vector/test_dict_info_to_list.py",
    "tests/wrappers/vector/test_record_episode_statistics.py",
    "tests/wrappers/vector/test_vector_wrappers.py",
];

/// Commands that install everything that is not there, and run the clients.
pub fn commands() -> Result<Vec<Command>> {
    let environments = [PYTORCH, PUFFERLIB, DIFFUSION_POLICY];
    let mut commands = Vec::new();
    for environment in &environments {
        commands.extend(environment.install()?);
    }
    commands.push(package());
    commands.extend(CHECKOUTS.iter().filter_map(clone));
    for environment in &environments {
        let tests = environment.tests.iter();
        let mut pytest = environment.pytest();
        pytest.args(tests.map(|test| format!("tests/python/clients/{test}")));
        commands.push(pytest);
    }
    for native in [false, true] {
        let mut pytest = PYTORCH.pytest();
        pytest
            .args(["-p", "gymnasium_plugin"])
            .args(native.then_some("--native"))
            .args(GYMNASIUM_TESTS)
            .current_dir(checkout(&CHECKOUTS[0]));
        commands.push(pytest);
    }
    Ok(commands)
}

impl Environment {
    fn path(&self) -> PathBuf {
        let given = std::env::var_os(self.variable).map(PathBuf::from);
        given.unwrap_or_else(|| folder().join(self.name))
    }

    fn python(&self) -> Command {
        let mut command = Command::new(self.path().join("bin/python"));
        command
            .current_dir(repository())
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        command
    }

    /// Commands that make it; none if the variable names one.
    fn install(&self) -> Result<Vec<Command>> {
        if std::env::var_os(self.variable).is_some() {
            return Ok(Vec::new());
        }
        setup::runs(self.python, &["-m", "venv", "--help"])
            .then_some(())
            .with_context(|| format!("{} with its module venv is missing", self.python))?;
        let mut venv = Command::new(self.python);
        venv.args(["-m", "venv"]).arg(self.path());
        let mut commands = vec![venv];
        let pip = || {
            let mut pip = self.python();
            pip.args(["-m", "pip", "install"]);
            pip
        };
        if !self.for_builds.is_empty() {
            let mut builds = pip();
            builds.args(self.for_builds);
            commands.push(builds);
        }
        let mut requirements = pip();
        requirements
            .args((!self.for_builds.is_empty()).then_some("--no-build-isolation"))
            .arg("--requirement")
            .arg(format!("{CLIENTS}/requirements/{}.txt", self.name));
        commands.push(requirements);
        Ok(commands)
    }

    /// pytest, with the package and the checkouts.
    fn pytest(&self) -> Command {
        let mut pytest = self.python();
        let paths = [folder().join("package"), repository().join(CLIENTS)];
        pytest
            .args(["-m", "pytest", "-p", "no:cacheprovider"])
            .env(
                "PYTHONPATH",
                std::env::join_paths(paths).unwrap_or_default(),
            )
            .env("SDL_VIDEODRIVER", "dummy");
        for each in &CHECKOUTS {
            pytest.env(each.0, checkout(each));
        }
        pytest
    }
}

const CLIENTS: &str = "tests/python/clients";

fn folder() -> PathBuf {
    repository().join("target/verify/clients")
}

/// Command that builds the package, for all environments.
fn package() -> Command {
    let mut pip = PYTORCH.python();
    pip.args(["-m", "pip", "install", "--no-deps", "--upgrade", "--target"])
        .arg(folder().join("package"))
        .arg("./host/python");
    pip
}

fn checkout((variable, address, _): &Checkout) -> PathBuf {
    let given = std::env::var_os(variable).map(PathBuf::from);
    given.unwrap_or_else(|| folder().join("checkouts").join(address))
}

/// Command that clones a project that is not there.
fn clone(project: &Checkout) -> Option<Command> {
    let (_, address, revision) = project;
    let path = checkout(project);
    if path.exists() {
        return None;
    }
    let mut git = Command::new("git");
    git.args(["clone", "--depth", "1", "--branch", revision])
        .arg(format!("https://github.com/{address}"))
        .arg(path);
    Some(git)
}
