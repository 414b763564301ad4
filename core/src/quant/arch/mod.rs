//! Tuned kernels, a folder for each instruction set.

#[cfg(armv6m)]
pub(crate) mod armv6m;
#[cfg(smlad)]
pub(crate) mod armv7em;
#[cfg(mla)]
pub(crate) mod armv7m;
#[cfg(mve)]
pub(crate) mod armv81m;
#[cfg(any(armv6m, mla, mve, smlad))]
pub(crate) mod assembler;
mod layout;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_64;
