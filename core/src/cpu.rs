//! What the processor at hand has.

cpufeatures::new!(avx2, "avx2");

/// Whether there is AVX2, and the system keeps its registers; asked once.
pub(crate) fn has_avx2() -> bool {
    avx2::get()
}
