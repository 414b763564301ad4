//! Mutation test of the simulator: in a copy of `core`, each detail that agreement with pymunk
//! depends on is removed in turn, and the golden trajectories have to notice.
//!
//!     cargo test -p pusht-tests --test leave_one_out -- --ignored --show-output

use pusht_device::copy_folder;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A change at one place of the source that removes one detail.
struct Mutant {
    what: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

impl Mutant {
    /// The source file with the change applied.
    fn text(&self) -> String {
        let original = repository().join("core/src").join(self.file);
        let text = fs::read_to_string(original).unwrap();
        assert_eq!(text.matches(self.from).count(), 1, "{}", self.what);
        text.replace(self.from, self.to)
    }
}

const MUTANTS: [Mutant; 12] = [
    Mutant {
        what: "order of contacts as the tree reports them",
        file: "pusht/physics/broad_phase.rs",
        from: "[Obstacle; N_WALLS] = [3, 2, 1, 0]",
        to: "[Obstacle; N_WALLS] = [0, 1, 2, 3]",
    },
    Mutant {
        what: "warm starting",
        file: "pusht/physics/solver.rs",
        from: "self.impulse = cache.impulse(pair, self.point.id)",
        to: "self.impulse = 0.0",
    },
    Mutant {
        what: "persistence over three missed steps",
        file: "pusht/physics/cache.rs",
        from: "PERSISTENCE_STEPS: u8 = 3",
        to: "PERSISTENCE_STEPS: u8 = 1",
    },
    Mutant {
        what: "an impulse kept, but not applied, when the pair touches again",
        file: "pusht/physics/solver.rs",
        from: "self.persisted = cache.is_persisted(pair)",
        to: "self.persisted = true",
    },
    Mutant {
        what: "contacts matched by id",
        file: "pusht/physics/manifold.rs",
        from: "id: (wall.indices[wall_end] * 4 + block.indices[block_end]) as u8",
        to: "id: wall_end as u8",
    },
    Mutant {
        what: "slop and bias in single precision",
        file: "pusht/physics/solver.rs",
        from: "SLOP_PX: f64 = 0.1f32 as f64",
        to: "SLOP_PX: f64 = 0.1",
    },
    Mutant {
        what: "the bias of a single-precision 0.1",
        file: "pusht/physics/solver.rs",
        from: "f64::from_bits(0x3faf_5d6b_ce57_a130)",
        to: "f64::from_bits(0x3faf_5d6b_4e2c_4650)",
    },
    Mutant {
        what: "the pose in which the tree is set up",
        file: "pusht/physics/mod.rs",
        from: "[Vec2::new(256.0, 300.0), Vec2::new(256.0, 400.0)]",
        to: "[Vec2::new(60.0, 60.0), Vec2::new(450.0, 450.0)]",
    },
    Mutant {
        what: "the pseudo-velocity of the last step",
        file: "pusht/physics/body.rs",
        from: "self.velocity.linear + self.pseudo_velocity.linear",
        to: "self.velocity.linear",
    },
    Mutant {
        what: "the general method's normal (that of the closest points instead)",
        file: "pusht/physics/disc.rs",
        from: "        normal: closest.normal,",
        to: "        normal: crate::pusht::geometry::normalize(closest.on_b - closest.on_a),",
    },
    Mutant {
        what: "the platform's sine",
        file: "pusht/math.rs",
        from: "(x.sin(), x.cos())",
        to: "libm::sincos(x)",
    },
    Mutant {
        what: "double precision",
        file: "pusht/physics/body.rs",
        from: "self.cog += linear * PHYSICS_DT_S;",
        to: "self.cog = (self.cog + linear * PHYSICS_DT_S).map(|v| f64::from(v as f32));",
    },
];

#[test]
fn every_mutant_matches_its_source() {
    for mutant in MUTANTS {
        assert_ne!(mutant.text(), "");
    }
}

#[test]
#[ignore = "builds core thirteen times, some minutes: by hand"]
fn golden_trajectories_notice_every_mutant() {
    let copy = Copy::new();
    assert!(copy.passes(), "the copy fails as it is");
    let mut unnoticed = Vec::new();
    for mutant in MUTANTS {
        copy.change(&mutant);
        let noticed = !copy.passes();
        println!(
            "{}: {}",
            mutant.what,
            if noticed { "noticed" } else { "NOT NOTICED" }
        );
        if !noticed {
            unnoticed.push(mutant.what);
        }
        copy.restore(&mutant);
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

/// A workspace with a copy of `core` and the test `physics`.
struct Copy {
    folder: PathBuf,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Copy {
    fn new() -> Self {
        let folder = pusht_device::target_dir().join("leave_one_out");
        let copy = Self { folder };
        let root = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
        let members = "members = [\"core\", \"host\", \"tests\"]";
        assert!(root.contains(members));
        let root = root.replace(members, "members = [\"core\", \"golden\"]");
        let root = root.replace("default-members = [\"host\"]", "");
        copy.write("Cargo.toml", &root);
        let manifest = "[package]\nname = \"golden\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
            autotests = false\n[features]\nplatform-math = [\"pusht-core/platform-math\"]\n\
            [dependencies]\npusht-core.workspace = true\n[lib]\npath = \"../lib.rs\"\n\
            [[test]]\nname = \"physics\"\npath = \"PHYSICS\"\n";
        let physics = repository()
            .join("tests/physics.rs")
            .canonicalize()
            .unwrap();
        let manifest = manifest.replace("PHYSICS", physics.to_str().unwrap());
        copy.write("golden/Cargo.toml", &manifest);
        copy.write("lib.rs", "");
        fs::copy(
            repository().join("Cargo.lock"),
            copy.folder.join("Cargo.lock"),
        )
        .unwrap();
        let core = repository().join("core");
        let manifest = fs::read_to_string(core.join("Cargo.toml")).unwrap();
        // The example is elsewhere.
        let without_example = manifest
            .split_once("[[example]]")
            .map_or(&*manifest, |(head, _)| head);
        copy.write("core/Cargo.toml", without_example);
        if let Ok(build) = fs::read_to_string(core.join("build.rs")) {
            copy.write("core/build.rs", &build);
        }
        copy_folder(&core.join("src"), &copy.folder.join("core/src")).unwrap();
        copy
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn change(&self, mutant: &Mutant) {
        let path = format!("core/src/{}", mutant.file);
        self.write(&path, &mutant.text());
        // A change that does not build would count as noticed.
        let built = self.cargo(&["build", "--tests"]);
        assert!(built, "{} does not build", mutant.what);
    }

    fn restore(&self, mutant: &Mutant) {
        let text = fs::read_to_string(repository().join("core/src").join(mutant.file)).unwrap();
        self.write(&format!("core/src/{}", mutant.file), &text);
    }

    fn passes(&self) -> bool {
        self.cargo(&["test", "--test", "physics", "every_bit_is_pymunks"])
    }

    fn cargo(&self, words: &[&str]) -> bool {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(words)
            .args([
                "--quiet",
                "--package",
                "golden",
                "--features",
                "platform-math",
            ])
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .current_dir(&self.folder);
        cargo.output().unwrap().status.success()
    }
}
