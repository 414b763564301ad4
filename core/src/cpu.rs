//! What the processor at hand has.

use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::{AtomicU8, Ordering};

cpufeatures::new!(avx2, "avx2");
cpufeatures::new!(avx512, "avx2", "avx512f", "avx512bw", "avx512vl");

/// Whether there is AVX2, and the system keeps its registers; asked once.
pub(crate) fn has_avx2() -> bool {
    avx2::get()
}

/// Whether there is AVX-512, and the system keeps its registers; asked once.
#[cfg(feature = "pusht")]
pub(crate) fn has_avx512() -> bool {
    avx512::get()
}

/// Whether there is AVX-512 with `VPDPWSSD` for whole registers, and the system keeps them; asked
/// once.
pub(crate) fn has_avx512_vnni() -> bool {
    // `cpufeatures` does not know VNNI: leaf 7 of CPUID, bit 11 of ECX.
    const VNNI: u32 = 1 << 11;
    const UNKNOWN: u8 = 0;
    const NO: u8 = 1;
    const YES: u8 = 2;
    static ANSWER: AtomicU8 = AtomicU8::new(UNKNOWN);
    match ANSWER.load(Ordering::Relaxed) {
        UNKNOWN => {
            let is_there = avx512::get() && __cpuid_count(7, 0).ecx & VNNI != 0;
            ANSWER.store(if is_there { YES } else { NO }, Ordering::Relaxed);
            is_there
        }
        answer => answer == YES,
    }
}
