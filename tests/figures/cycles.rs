//! The model behind the estimated times of a plan: instructions counted by class
//! (`instruction_classes.json`), cycles of each class by the core's manual, and the time in which
//! the weights come out of the part's flash.

use super::{BoardPlans, MODELS, Plan, bench_plan, board_plans, words};
use crate::{Table, repository, result};
use pusht_core::quant::Model;
use serde::Deserialize;

/// What `tests/oracle/instruction_classes.py` counted of a plan.
#[derive(Deserialize)]
struct Classes {
    board: String,
    /// Name of the model file, without the ending.
    model: String,
    instructions: f64,
    load: f64,
    next_load: f64,
    store: f64,
    several: f64,
    moved: f64,
    multiply: f64,
    #[serde(default)]
    divide: f64,
    taken: f64,
    not_taken: f64,
    other: f64,
}

/// Cycles of each class, at least and at most.
struct Costs {
    next_load: f64,
    store: f64,
    divide: [f64; 2],
    taken: [f64; 2],
}

/// Cortex-M4 technical reference manual r0p1 (DDI 0439D), 3.3.1: a load takes 2 cycles, 1 behind
/// another access; one of several registers 1 and 1 for each; a branch 1 and a refill of the
/// pipeline of 1 to 3. Multiplications take 1.
const M4: Costs = Costs {
    next_load: 1.0,
    store: 1.0,
    divide: [2.0, 12.0],
    taken: [2.0, 4.0],
};
/// Cortex-M0+ technical reference manual r0p1 (DDI 0484C), 3.3: loads and stores take 2 cycles, a
/// branch 2, a call 3; multiplications 1 on the RP2040 (datasheet, 2.4.1.1).
const M0_PLUS: Costs = Costs {
    next_load: 2.0,
    store: 2.0,
    divide: [0.0; 2],
    taken: [2.0, 3.0],
};

impl Classes {
    /// Cycles per instruction.
    fn cycles_per_instruction(&self, costs: &Costs) -> [f64; 2] {
        let fixed = 2.0 * self.load
            + costs.next_load * self.next_load
            + costs.store * self.store
            + self.several
            + self.moved
            + self.multiply
            + self.not_taken
            + self.other;
        [0, 1].map(|end| {
            let cycles = fixed + costs.taken[end] * self.taken + costs.divide[end] * self.divide;
            cycles / self.instructions
        })
    }
}

/// How a core executes.
#[derive(Clone, Copy, PartialEq)]
enum Core {
    /// As the manual of the Cortex-M4 says.
    M4,
    /// The Cortex-M33's own instructions, at the Cortex-M4's cycles: Arm publishes none of it.
    M33,
    /// The same, with up to two instructions per cycle: Arm publishes no cycles.
    M7,
    M0Plus,
    /// One to two cycles per instruction: a vector instruction takes two, and overlaps with another.
    M55,
}

/// A part that can be bought.
struct Part {
    name: &'static str,
    /// Board of QEMU with its core.
    board: &'static str,
    core: Core,
    clock_mhz: f64,
    /// Cycles in which the core waits for eight bytes of weights, at least and at most.
    wait: [f64; 2],
    /// Where they come from.
    memory: &'static str,
}

const PARTS: [Part; 7] = [
    Part {
        name: "nRF52840",
        board: "mps2-an386",
        core: Core::M4,
        clock_mhz: 64.0,
        // Two wait states per word; the cache is for instructions (product specification, 4.3.3).
        wait: [4.0, 4.0],
        memory: "flash, 2 wait states",
    },
    Part {
        name: "STM32L475",
        board: "mps2-an386",
        core: Core::M4,
        clock_mhz: 80.0,
        // Four wait states per line of 64 bits (RM0351, 3.3.3).
        wait: [4.0, 4.0],
        memory: "flash, 4 wait states per 8 bytes",
    },
    Part {
        name: "STM32F405",
        board: "mps2-an386",
        core: Core::M4,
        clock_mhz: 168.0,
        // Five wait states per line of 128 bits (RM0090, 3.5.1).
        wait: [2.5, 2.5],
        memory: "flash, 5 wait states per 16 bytes",
    },
    Part {
        name: "STM32H743",
        board: "mps2-an500",
        core: Core::M7,
        clock_mhz: 400.0,
        // A line of 32 bytes: two wait states of the flash and four beats of the bus, at half the
        // core's clock (RM0433, 4.3.8); at most with as long again for the way through the bus.
        wait: [3.5, 7.0],
        memory: "flash through the data cache",
    },
    Part {
        name: "RP2350",
        board: "mps2-an505",
        core: Core::M33,
        clock_mhz: 150.0,
        // A line of 8 bytes: 16 clocks of the bus at half the core's, at most 12 more for address
        // and turnaround (datasheet, 12.14).
        wait: [32.0, 56.0],
        memory: "external flash, 4 bits at 75 MHz",
    },
    Part {
        name: "RP2040",
        board: "mps2-an385-v6m",
        core: Core::M0Plus,
        clock_mhz: 125.0,
        // The same, with the address each time (datasheet, 4.10.2).
        wait: [56.0, 60.0],
        memory: "external flash, 4 bits at 62.5 MHz",
    },
    Part {
        name: "a part with a Cortex-M55",
        board: "mps3-an547",
        core: Core::M55,
        clock_mhz: 400.0,
        wait: [0.0, 0.0],
        memory: "without wait states",
    },
];

impl Part {
    /// Of a plan with `model`.
    fn cycles_per_instruction(&self, model: &str, counted: &[Classes]) -> [f64; 2] {
        let of = |board: &str| {
            let is_it = |classes: &&Classes| classes.board == board && classes.model == model;
            counted.iter().find(is_it).unwrap()
        };
        match self.core {
            Core::M4 => of("mps2-an386").cycles_per_instruction(&M4),
            Core::M33 => of("mps2-an505").cycles_per_instruction(&M4),
            Core::M7 => {
                let [least, most] = of("mps2-an386").cycles_per_instruction(&M4);
                [least / 2.0, most]
            }
            Core::M0Plus => of("mps2-an385-v6m").cycles_per_instruction(&M0_PLUS),
            Core::M55 => [1.0, 2.0],
        }
    }

    /// Milliseconds of a plan in the core, and those of waiting for weights.
    fn times(&self, plan: &Plan, model: &str, counted: &[Classes]) -> [[f64; 2]; 2] {
        let path = repository().join("models").join(model);
        let bytes = std::fs::read(path.with_extension("ptm")).unwrap();
        let n_passes = Model::parse(&bytes).unwrap().n_passes();
        let lines = (bytes.len() * n_passes) as f64 / 8.0;
        let ms = |cycles: f64| cycles / self.clock_mhz / 1e3;
        let core = self.cycles_per_instruction(model, counted);
        [
            core.map(|cycles| ms(cycles * plan.instructions as f64)),
            self.wait.map(|cycles| ms(cycles * lines)),
        ]
    }
}

/// Estimated times of a plan.
pub fn plan_times() -> Table {
    let (plans, counted) = (board_plans(), result::<Vec<Classes>>("instruction_classes"));
    let row = |part: &Part| {
        let measured = |plans: &&BoardPlans| plans.board == part.board;
        let plans = plans.iter().find(measured).unwrap();
        let [core, wait] = part.times(&plans.best, MODELS[0], &counted);
        let [small_core, small_wait] = part.times(&plans.small, MODELS[1], &counted);
        let sum = |a: [f64; 2], b: [f64; 2]| [a[0] + b[0], a[1] + b[1]];
        vec![
            part.name.to_owned(),
            format!("{} MHz", part.clock_mhz),
            part.memory.to_owned(),
            range(core),
            range(wait),
            range(sum(core, wait)),
            range(sum(small_core, small_wait)),
        ]
    };
    Table {
        title: "Estimated time of a plan".to_owned(),
        about: ABOUT.to_owned(),
        columns: words(&[
            "part",
            "clock",
            "weights from",
            "core, `pusht`",
            "waiting",
            "`pusht`",
            "`pusht-small`",
        ]),
        rows: PARTS.iter().map(row).collect(),
        notes: notes(&counted),
        command: "`pusht bench plan --json tests/figures/bench_plan.json`, \
                  `tests/oracle/instruction_classes.py`"
            .to_owned(),
        ..bench_plan()
    }
}

const ABOUT: &str = "**Estimates, not measurements**, by a model: the instructions above, counted \
    by class for each policy, at the cycles of each class in the manual of the Cortex-M4 or M0+; \
    and the whole model file read once per pass from the part's memory, with its wait states. \
    Code and activations come without waiting. Arm publishes no cycles of the Cortex-M33, whose \
    own instructions are taken at the Cortex-M4's, nor of the Cortex-M7, taken as a Cortex-M4 that \
    executes one to two instructions at the same time, nor of the Cortex-M55, taken at one to two \
    cycles per instruction. A plan is due every 300 ms with `pusht`, every 200 ms with\
    `pusht-small`.";

/// The model beside what others have measured.
fn notes(counted: &[Classes]) -> String {
    /// CMSIS-NN's int8 convolution, instructions per multiplication, as above.
    const CMSIS_NN: [f64; 2] = [1.94, 2.03];
    let m7 = PARTS.iter().find(|part| part.core == Core::M7).unwrap();
    let [least, most] = m7.cycles_per_instruction(MODELS[0], counted);
    let [m4, _] = PARTS[0].cycles_per_instruction(MODELS[0], counted);
    format!(
        "The model has {m4:.2} cycles per instruction for the Cortex-M4. Beside a measurement: Lai, \
         Suda and Chandra (CMSIS-NN, arXiv 1801.06601) report 249 million operations per second, \
         two per multiplication, of a convolutional network on a NUCLEO-F746ZG, a Cortex-M7 at 216 \
         MHz: 1.73 cycles per multiplication. The model gives CMSIS-NN's convolution, as counted \
         above, {:.2} to {:.2} on a Cortex-M7. None of its convolutions measured on a part of this \
         table was found.",
        CMSIS_NN[0] * least,
        CMSIS_NN[1] * most
    )
}

fn range([least, most]: [f64; 2]) -> String {
    let digits = usize::from(most < 10.0);
    let [least, most] = [least, most].map(|ms| format!("{ms:.digits$}"));
    if least == most {
        format!("{most} ms")
    } else {
        format!("{least} to {most} ms")
    }
}
