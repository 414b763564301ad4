//! What the firmware may take of a chip. A change that needs more fails; one that needs less lowers the figure.

/// Upper bounds of the binary `episode` on one board.
pub struct Budget {
    /// The board.
    pub board: &'static str,
    /// Code, constants and the model file.
    pub flash_bytes: u64,
    /// Variables, the plan's working memory included.
    pub ram_bytes: u64,
    /// Deepest stack.
    pub stack_bytes: u64,
    /// Instructions of the longest plan.
    pub plan_instructions: u64,
    /// Instructions of a control step: simulator, coverage, observation; the mean of the episode, and so a matter of how
    /// much is pushed in the one that the shipped policy wins first.
    pub step_instructions: u64,
}

/// The default board.
pub const MPS2_AN386: Budget = Budget {
    board: "mps2-an386",
    flash_bytes: 870 * 1024,
    ram_bytes: 25 * 1024,
    stack_bytes: 17 * 1024,
    plan_instructions: 12_400_000,
    step_instructions: 370_000,
};

/// Longest turn of the interrupt at 100 Hz, on the default board at 125 MHz and an instruction a cycle: a physics step, and
/// with every tenth the coverage, the digests and the exchange with the planning side. Its period is 10,000 us.
pub const REALTIME_TURN_US: u64 = 1500;
/// Longest time from the timer to the interrupt's first instruction of its task: what critical sections and the log mask.
pub const REALTIME_LATENCY_US: u64 = 10;
