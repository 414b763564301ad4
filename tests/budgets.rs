//! Budgets of the firmware and of the benchmarks: flash, RAM, stack, instructions. A change that
//! needs more fails; one that needs less lowers the figure.

/// Instructions per control step on x86-64, release build, for the action sequences chases, walls
/// and squeezes of `pusht bench env`: one environment alone, and one of twelve in a batch (with
/// AVX2). Each is the measured value of `benches/instructions.rs` plus 1 %.
#[allow(dead_code, reason = "of the benchmark")]
pub const STEP_INSTRUCTIONS: [[u64; 2]; 3] = [[19_970, 18_960], [21_460, 19_410], [21_830, 19_800]];

/// Instructions per plan on x86-64 with AVX2, release build, for `pusht.ptm` and `pusht-small.ptm`:
/// alone, and in a batch of eight. Each is the measured value of the same benchmark plus 1 %.
#[allow(dead_code, reason = "of the benchmark")]
pub const PLAN_INSTRUCTIONS: [[u64; 2]; 2] = [[3_241_000, 2_380_000], [264_300, 162_200]];

/// The same on 64-bit Arm with NEON, by `arm64.rs`.
#[allow(dead_code, reason = "of that test")]
pub const ARM64_PLAN_INSTRUCTIONS: [[u64; 2]; 2] = [[4_112_000, 3_306_000], [214_800, 161_600]];

/// Upper bounds of a whole episode (binaries `episode` and `disturbed`) on one board.
pub struct Budget {
    /// The board.
    pub board: &'static str,
    /// Code, constants and the model file.
    pub flash_bytes: u64,
    /// Variables, including the working memory of a plan.
    pub ram_bytes: u64,
    /// High-water mark of the stack.
    pub stack_bytes: u64,
    /// Instructions of the longest plan.
    pub plan_instructions: u64,
    /// Instructions per control step (simulator, coverage, observation), the mean over the episode.
    /// It depends on how much is pushed in the episode that the shipped policy wins first.
    pub step_instructions: u64,
    /// Most instructions of one observation between environment and policy: disturbances, and the
    /// estimator.
    pub border_instructions: u64,
}

/// Binary `episode` on the default board.
pub const MPS2_AN386: Budget = Budget {
    board: "mps2-an386",
    flash_bytes: 857 * 1024,
    ram_bytes: 13 * 1024,
    stack_bytes: 13 * 1024,
    plan_instructions: 6_590_000,
    step_instructions: 350_000,
    border_instructions: 1_000,
};

/// What disturbances and the estimator add to the flash of an episode.
pub const DISTURBED_FLASH_BYTES: u64 = 30 * 1024;

/// Binary `disturbed` there.
pub const MPS2_AN386_DISTURBED: Budget = Budget {
    flash_bytes: MPS2_AN386.flash_bytes + DISTURBED_FLASH_BYTES,
    stack_bytes: 25 * 1024,
    border_instructions: 930_000,
    ..MPS2_AN386
};

/// Binary `episode` on the micro:bit, with `pusht-small.ptm`. The stack holds the working memory of a
/// plan, and the variables of the simulator.
pub const MICROBIT_EPISODE: Budget = Budget {
    board: "microbit",
    flash_bytes: 170 * 1024,
    ram_bytes: 256,
    stack_bytes: 12_900,
    plan_instructions: 1_040_000,
    step_instructions: 660_000,
    border_instructions: 1_000,
};

/// Binary `controller` there.
pub const MICROBIT_CONTROLLER_FLASH_BYTES: u64 = 121 * 1024;
/// All RAM that the part has: variables, and the stack that is reserved.
pub const MICROBIT_RAM_BYTES: u64 = 16 * 1024;

/// Longest run of the interrupt at 100 Hz, on the default board at 125 MHz and one instruction per
/// cycle: a physics step, and in every tenth also the coverage, the digests and the exchange with
/// the planning side. The period is 10,000 us.
pub const REALTIME_TURN_US: u64 = 1500;
/// The same on `b-l475e-iot01a`, in QEMU at 16 ns per instruction: its core at 80 MHz with 1.28
/// cycles per instruction.
#[allow(dead_code, reason = "of the tests in QEMU")]
pub const L475_REALTIME_TURN_US: u64 = 3000;
/// Longest latency from the timer to the first instruction of its task: critical sections and the
/// log mask interrupts.
pub const REALTIME_LATENCY_US: u64 = 10;

/// Upper bounds of the policy alone on one board: binary `plans` (memory) and binary `bench`
/// (instructions).
pub struct PlanBudget {
    /// The board.
    pub board: &'static str,
    /// Thousandths of an instruction per multiplication of a convolution (64 channels to 64, 3
    /// taps, 8 positions), overhead of the layer included.
    pub conv_milli_instructions: u64,
    /// Instructions of a plan with `pusht.ptm`.
    pub best_plan_instructions: u64,
    /// Instructions of a plan with `pusht-small.ptm`.
    pub small_plan_instructions: u64,
}

/// Flash of the policy alone, without the model file: code (kernels for weights of 8 and of 4 bits),
/// constants, start-up, log. The most is on `mps2-an505`, plus 1 %.
pub const CODE_BYTES: u64 = 51_800;
/// RAM of the policy alone: activations, skips, tables and the deepest stack, also while the model
/// file is checked.
pub const PLAN_RAM_BYTES: u64 = 20 * 1024;

/// What the log's buffer (RTT) and its control block add to it on a physical board.
#[allow(dead_code, reason = "of the tests in QEMU")]
pub const LOG_RAM_BYTES: u64 = 1024 + 64;

/// Every board.
pub const PLANS: [PlanBudget; 8] = [
    PlanBudget {
        board: "mps2-an386",
        conv_milli_instructions: 900,
        best_plan_instructions: 6_590_000,
        small_plan_instructions: 303_500,
    },
    PlanBudget {
        board: "b-l475e-iot01a",
        conv_milli_instructions: 900,
        best_plan_instructions: 6_590_000,
        small_plan_instructions: 303_500,
    },
    PlanBudget {
        board: "netduinoplus2",
        conv_milli_instructions: 900,
        best_plan_instructions: 6_590_000,
        small_plan_instructions: 303_500,
    },
    PlanBudget {
        board: "mps2-an500",
        conv_milli_instructions: 900,
        best_plan_instructions: 6_590_000,
        small_plan_instructions: 303_500,
    },
    PlanBudget {
        board: "mps2-an505",
        conv_milli_instructions: 900,
        best_plan_instructions: 6_590_000,
        small_plan_instructions: 303_500,
    },
    PlanBudget {
        board: "mps3-an547",
        conv_milli_instructions: 300,
        best_plan_instructions: 2_246_000,
        small_plan_instructions: 123_400,
    },
    PlanBudget {
        board: "mps2-an385",
        conv_milli_instructions: 1_700,
        best_plan_instructions: 12_000_000,
        small_plan_instructions: 467_200,
    },
    PlanBudget {
        board: "mps2-an385-v6m",
        conv_milli_instructions: 3_100,
        best_plan_instructions: 22_500_000,
        small_plan_instructions: 884_200,
    },
];

/// Upper bounds of an image for a physical board.
pub struct SiliconBudget {
    /// The board.
    pub board: &'static str,
    /// Code, constants and the model file.
    pub flash_bytes: u64,
    /// The same of the binary `bench`, which holds both models: all that the part has.
    pub bench_flash_bytes: u64,
    /// Variables, without the stack of 32 KiB.
    pub ram_bytes: u64,
}

/// Images with the larger model. The STM32L475 has 1 MiB of flash and 96 KiB of RAM in one piece,
/// the STM32F405 1 MiB and 128 KiB, the nRF52840 1 MiB and 256 KiB, the STM32H743 2 MiB and 128 KiB (the DTCM), the Pico 2 4 MiB and
/// 520 KiB, the Pico 2 MiB and 264 KiB.
pub const SILICON_BUDGETS: [SiliconBudget; 6] = [
    SiliconBudget {
        board: "b-l475e-iot01a",
        flash_bytes: 890 * 1024,
        bench_flash_bytes: 1024 * 1024,
        ram_bytes: 40 * 1024,
    },
    SiliconBudget {
        board: "netduinoplus2",
        flash_bytes: 890 * 1024,
        bench_flash_bytes: 1024 * 1024,
        ram_bytes: 40 * 1024,
    },
    SiliconBudget {
        board: "nrf52840-dk",
        flash_bytes: 890 * 1024,
        bench_flash_bytes: 1024 * 1024,
        ram_bytes: 40 * 1024,
    },
    SiliconBudget {
        board: "nucleo-h743zi2",
        flash_bytes: 890 * 1024,
        bench_flash_bytes: 2048 * 1024,
        ram_bytes: 40 * 1024,
    },
    SiliconBudget {
        board: "pico2",
        flash_bytes: 890 * 1024,
        bench_flash_bytes: 4096 * 1024,
        ram_bytes: 40 * 1024,
    },
    SiliconBudget {
        board: "pico",
        flash_bytes: 890 * 1024,
        bench_flash_bytes: 2047 * 1024,
        ram_bytes: 40 * 1024,
    },
];

/// The Python package's wheel, compressed.
#[allow(dead_code, reason = "of the Python package's tests")]
pub const WHEEL_BYTES: u64 = 5_000_000;
