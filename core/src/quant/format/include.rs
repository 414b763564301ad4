//! Embedding of a model file in a program.

/// A value at an address that is a multiple of 4.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
#[repr(align(4))]
pub struct Aligned<T>(pub T);

/// Embeds a model file as a `&'static [u8]` at an address that is a multiple of 4, as the kernels of
/// a Cortex-M need it. A plain `include_bytes!` has any address; there
/// [`Model::parse`](crate::quant::Model::parse) refuses it.
///
/// The path is relative to the file that calls the macro. With `section = "NAME"` the file has a
/// section of its own, which a linker script can place apart from the code.
///
/// ```
/// use pusht_core::quant::Model;
///
/// static FILE: &[u8] = pusht_core::include_model!(concat!(
///     env!("CARGO_MANIFEST_DIR"),
///     "/../models/fetch.ptm"
/// ));
///
/// assert!(FILE.as_ptr().cast::<u32>().is_aligned());
/// assert_eq!(Model::parse(FILE)?.task(), "fetch-pick-and-place");
/// # Ok::<(), pusht_core::quant::ModelError>(())
/// ```
#[macro_export]
macro_rules! include_model {
    ($path:expr $(, section = $section:literal)? $(,)?) => {{
        const FILE: &[u8] = include_bytes!($path);
        // SAFETY: only the section's name is set; it holds constant data.
        $(
            #[allow(unsafe_code)]
            #[unsafe(link_section = $section)]
        )?
        static ALIGNED: $crate::quant::Aligned<[u8; FILE.len()]> =
            $crate::quant::Aligned(*include_bytes!($path));
        let file: &'static [u8] = &ALIGNED.0;
        file
    }};
}
